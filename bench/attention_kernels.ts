/**
 * Times the ways to compute attention and its gradients against each other on one adapter, in turns, so that a noisy
 * machine troubles them alike: `node dist/bench/attention_kernels.js [device]`. Every variant that the adapter allows is
 * timed, whether or not it is the first choice for the shape.
 */
import { type Device, type Tensor, openDevice } from '../engine/index.js';
import {
  type AttentionBackwardProblem,
  type Launch,
  type Operand,
  attentionBackwardSteps,
  attentionBackwardVariants,
  attentionVariants,
} from '../kernels/index.js';

/** Where attention occurs in training: batch, heads, tokens and head width. */
const shapes: readonly (readonly [string, number, number, number, number])[] = [
  ['tiny: encoder', 32, 4, 65, 32],
  ['ViT-B: encoder', 2, 12, 197, 64],
  ['base: decoder', 32, 12, 26, 64],
];

const rounds = 7;

/** Operations a score and component: two products forward; backward one, three and four, with scores made again. */
const operations = { forward: 4, statistics: 2, query: 6, key_value: 8 } as const;

type Names = Exclude<keyof AttentionBackwardProblem, 'causal' | 'scale' | 'mask' | 'padding'>;

interface Row {
  readonly name: string;
  readonly operations: number;
  readonly operands: readonly Names[];
  readonly build: (problem: AttentionBackwardProblem) => Launch;
  readonly times: number[];
}

function rowsFor(device: Device, problem: AttentionBackwardProblem): Row[] {
  const forward = attentionVariants.map((variant): Row & { readonly applies: boolean } => ({
    name: variant.name,
    operations: operations.forward,
    operands: ['query', 'key', 'value', 'output'],
    build: (bound) => variant.launch({ ...bound, result: bound.output }, device.traits),
    times: [],
    applies: variant.canApply({ ...problem, result: problem.output }, device.traits),
  }));
  const backward = attentionBackwardVariants.flatMap((variant) =>
    attentionBackwardSteps.map(({ name, operands }) => ({
      name: `${variant.name}, ${name}`,
      operations: operations[name],
      operands: operands.filter((operand) => operand !== 'mask' && operand !== 'padding'),
      build: (bound: AttentionBackwardProblem) => variant.launch(name, bound, device.traits),
      times: [],
      applies: variant.canApply(problem, device.traits),
    })),
  );
  return [...forward, ...backward].filter(({ applies }) => applies);
}

function randomTensor(device: Device, shape: readonly number[]): Tensor {
  const values = new Float32Array(shape.reduce((count, size) => count * size, 1));
  return device.tensor(
    values.map(() => Math.random() - 0.5),
    shape,
  );
}

const device = await openDevice({ device: process.argv[2] ?? '' });
console.log(`${device.adapter.name}: the fastest of ${rounds}, milliseconds and GFLOP/s`);
for (const [where, batch, heads, tokens, width] of shapes) {
  const split = (): Tensor => randomTensor(device, [batch, tokens, heads * width]).splitHeads(heads);
  const tensors: Readonly<Record<Names, Tensor>> = {
    query: split(),
    key: split(),
    value: split(),
    output: split(),
    outputGradient: split(),
    statistics: randomTensor(device, [batch, heads, tokens, 2]),
    queryGradient: split(),
    keyValueGradient: randomTensor(device, [2, batch, heads, tokens, width]),
  };
  const options = { causal: false, scale: 1 / Math.sqrt(width) };
  const rows = rowsFor(device, { ...tensors, ...options });
  for (let round = -1; round < rounds; round++) {
    for (const { operands, build, times } of rows) {
      const start = performance.now();
      device.dispatch(
        (bound: readonly Operand[]) =>
          build({
            ...tensors,
            ...options,
            ...Object.fromEntries(operands.map((name, i) => [name, bound[i]!])),
          }),
        operands.map((name) => tensors[name]),
        () => 'bench',
      );
      await device.finish();
      // The first round compiles.
      if (round >= 0) times.push(performance.now() - start);
    }
  }
  console.log(`${where}: batch ${batch}, heads ${heads}, ${tokens} tokens, width ${width}`);
  for (const { name, operations: each, times } of rows) {
    const ms = Math.min(...times);
    const gflops = (each * batch * heads * tokens ** 2 * width) / ms / 1e6;
    console.log(`  ${name.padEnd(44)} ${ms.toFixed(2).padStart(9)} ${gflops.toFixed(1).padStart(7)}`);
  }
  Object.values(tensors).forEach((tensor) => tensor.dispose());
}
device.close();
