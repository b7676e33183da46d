/**
 * Times the kernels of training that do little but move memory against a plain copy of a buffer in the same run, in
 * turns, so that a noisy machine troubles them alike: `node dist/bench/training_kernels.js [device]`.
 */
import { type Device, type Tensor, openDevice } from '../engine/index.js';
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  launchAdamW,
  launchDropout,
  launchFill,
  launchGradientNorm,
  launchLerp,
  launchMomentum,
  launchScatter,
  launchSortIndices,
  launchSquareSums,
  launchUnary,
  launchUpdate,
  squareSumParts,
} from '../kernels/index.js';

type Build = (operands: readonly Operand[], traits: AdapterTraits) => Launch;

/** A kernel on some tensors, and the fewest bytes that it must move. */
interface Row {
  readonly name: string;
  readonly bytes: number;
  readonly tensors: readonly Tensor[];
  readonly build: Build;
}

const rounds = 7;
/** Elements of the flat operands: 16 MB in f32. */
const count = 1 << 22;
/** A batch's caption tokens and the model's token embedding, cut to what one binding holds. */
const [positions, tableRows, width] = [4096, 32_768, 512];

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function flatRows(device: Device): Row[] {
  const flat = (dtype: 'f32' | 'f16'): Tensor => {
    const tensor = device.empty(dtype, [count]);
    device.dispatch(
      ([to]) => launchFill(0.5, to!, device.traits),
      [tensor],
      () => 'fill',
    );
    return tensor;
  };
  const [p, g, m, v] = [flat('f32'), flat('f32'), flat('f32'), flat('f32')];
  const half = flat('f16');
  const factor = device.tensor(Float32Array.of(1), [1]);
  const skip = device.tensor(Uint32Array.of(0), [1]);
  const { shape, strides, offset } = g;
  const parts = device.empty('f32', [
    squareSumParts({ dtype: 'f32', shape, strides, offset }, device.traits),
  ]);
  const [control, flag] = [device.empty('f32', [2]), device.empty('u32', [1])];
  const stream = { seed: [1, 2], offset: 3 } as const;
  const settings = {
    learningRate: 1e-3,
    betas: [0.9, 0.98],
    epsilon: 1e-6,
    weightDecay: 0.2,
    step: 9,
  } as const;
  const adamw: Build = ([parameter, gradient, firstMoment, secondMoment, f, s], traits) =>
    launchAdamW(
      {
        parameter: parameter!,
        gradient: gradient!,
        firstMoment: firstMoment!,
        secondMoment: secondMoment!,
        factor: f!,
        skip: s!,
      },
      settings,
      traits,
    );
  const row = (name: string, bytesPerElement: number, tensors: readonly Tensor[], build: Build): Row => ({
    name,
    bytes: bytesPerElement * count,
    tensors,
    build,
  });
  return [
    row('element-wise copy', 8, [g, p], ([x, to], traits) => launchUnary('copy', x!, to!, traits)),
    row('fill', 4, [p], ([to], traits) => launchFill(0.25, to!, traits)),
    row('dropout', 8, [g, p], ([x, result], traits) =>
      launchDropout({ x: x!, probability: 0.1, stream, first: 0, result: result! }, traits),
    ),
    row('AdamW', 28, [p, g, m, v, factor, skip], adamw),
    row('AdamW, f16 gradient', 26, [p, half, m, v, factor, skip], adamw),
    row('momentum', 16, [m, g, v, factor, skip], ([buffer, gradient, result, f, s], traits) =>
      launchMomentum(
        { buffer: buffer!, gradient: gradient!, result: result!, factor: f!, skip: s! },
        0.9,
        traits,
      ),
    ),
    row('update', 12, [p, v, skip], ([parameter, update, s], traits) =>
      launchUpdate(
        { parameter: parameter!, update: update!, skip: s! },
        { learningRate: 1e-3, weightDecay: 0, scale: 1 },
        traits,
      ),
    ),
    row('lerp', 12, [v, p], ([average, value], traits) => launchLerp(average!, value!, 0.01, traits)),
    row('square sums', 4, [g, parts], ([x, to], traits) => launchSquareSums(x!, to!, traits)),
    row('square sums, f16', 2, [half, parts], ([x, to], traits) => launchSquareSums(x!, to!, traits)),
    row('gradient norm', 0, [parts, control, flag], ([squares, to, s], traits) =>
      launchGradientNorm({ squares: squares!, maxNorm: 20, unscale: 1, control: to!, skip: s! }, traits),
    ),
  ];
}

/** The backward of an embedding by ids that are all different, and by ids of which most are one. */
function scatterRows(device: Device): Row[] {
  const gradient = device.tensor(new Float32Array(positions * width).fill(0.1), [1, positions, width]);
  const result = device.tensor(new Float32Array(tableRows * width), [1, tableRows, width]);
  const lists: [string, number, (i: number) => number][] = [
    ['different ids', positions, (i) => (i * 7919) % tableRows],
    ['few ids', 97, (i) => (i % 4 === 0 ? (i * 7919) % 97 : 0)],
  ];
  return lists.flatMap(([name, named, id]): Row[] => {
    const index = device.tensor(
      Uint32Array.from({ length: positions }, (_, i) => id(i)),
      [1, positions],
    );
    const order = device.empty('u32', [1, positions]);
    const picks = { axis: tableRows, outside: 'nowhere' } as const;
    const sort: Build = ([i, o], traits) => launchSortIndices({ ...picks, index: i!, order: o! }, traits);
    const scatter: Build = ([g, i, o, r], traits) => {
      const operands = { gradient: g!, index: i!, order: o!, result: r! };
      return launchScatter({ ...picks, ...operands, scale: 1, windowStart: 0 }, traits);
    };
    const bytes = (positions + 2 * named) * width * 4;
    return [
      { name: `sort, ${name}`, bytes: 8 * positions, tensors: [index, order], build: sort },
      { name: `scatter, ${name}`, bytes, tensors: [gradient, index, order, result], build: scatter },
    ];
  });
}

const device = await openDevice({ device: process.argv[2] ?? '' });
const rows = [...flatRows(device), ...scatterRows(device)];
const [from, to] = [0, 1].map(() =>
  device.gpu.createBuffer({ size: 4 * count, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST }),
);
const copyBuffer = (): void => {
  const encoder = device.gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(from!, 0, to!, 0, 4 * count);
  device.gpu.queue.submit([encoder.finish()]);
};
const works = [
  { name: 'copy of a buffer', bytes: 8 * count, work: copyBuffer },
  ...rows.map(({ name, bytes, tensors, build }) => ({
    name,
    bytes,
    work: (): void =>
      device.dispatch(
        (operands) => build(operands, device.traits),
        tensors,
        () => name,
      ),
  })),
];
const times = works.map((): number[] => []);
for (let round = -1; round < rounds; round++) {
  for (const [i, { work }] of works.entries()) {
    const start = performance.now();
    work();
    await device.finish();
    // The first round compiles.
    if (round >= 0) times[i]!.push(performance.now() - start);
  }
}
const speed = (i: number): number => works[i]!.bytes / median(times[i]!) / 1e6;
console.log(`${device.adapter.name}: medians of ${rounds}, ${count} elements`);
for (const [i, { name }] of works.entries()) {
  const cells = [median(times[i]!).toFixed(2), speed(i).toFixed(2), (speed(i) / speed(0)).toFixed(2)];
  console.log([name.padEnd(24), ...cells.map((cell) => cell.padStart(9))].join(' '));
}
device.close();
