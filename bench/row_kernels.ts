/**
 * Times the kernels on rows and their gradients on one adapter, in turns, so that a noisy machine troubles them alike:
 * `node dist/bench/row_kernels.js [device]`. Bytes moved a second are set against a copy between buffers, which bounds
 * them all, and against the kernel that copies element by element.
 */
import { type Device, type Tensor, openDevice } from '../engine/index.js';
import {
  type Launch,
  type Operand,
  columnSumGroups,
  launchColumnSum,
  launchCrossEntropy,
  launchCrossEntropyGradient,
  launchLayerNorm,
  launchLayerNormGradient,
  launchLayerNormWeightGradient,
  launchSoftmax,
  launchSoftmaxGradient,
  launchUnary,
  launchUnaryGradient,
} from '../kernels/index.js';

const rounds = 9;
const tokens = 8192;
const width = 768;
/** Rows of logits of a training step: classes of the 94-character recogniser. */
const labels = 65_536;
const classes = 95;

const device = await openDevice({ device: process.argv[2] ?? '' });
const { traits } = device;

function random(shape: readonly number[]): Tensor {
  const values = new Float32Array(shape.reduce((count, size) => count * size, 1));
  return device.tensor(
    values.map(() => Math.random() - 0.5),
    shape,
  );
}

function launch(build: (operands: Operand[]) => Launch, tensors: readonly Tensor[]): void {
  device.dispatch(
    (operands) => build([...operands]),
    tensors,
    () => 'bench',
  );
}

const [x, gradient, result] = [random([tokens, width]), random([tokens, width]), random([tokens, width])];
const [weight, bias, statistics] = [random([width]), random([width]), random([tokens, 2])];
const groups = columnSumGroups(tokens, width, traits);
const [partial, normPartial] = [random([groups, width]), random([groups, 2, width])];
const normSums = random([2 * width]);
const [logits, logitsGradient] = [random([labels, classes]), random([labels, classes])];
const losses = random([labels]);
const targets = device.tensor(
  Uint32Array.from({ length: labels }, (_, i) => i % classes),
  [labels],
);

/** Name, the fewest bytes moved, and the work. */
type Case = readonly [name: string, bytes: number, run: () => void];

const tensorBytes = 4 * tokens * width;
const logitsBytes = 4 * labels * classes;

function copyBuffers(gpuDevice: Device): void {
  const encoder = gpuDevice.gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(x.buffer.gpu, 0, result.buffer.gpu, 0, tensorBytes);
  gpuDevice.gpu.queue.submit([encoder.finish()]);
}

const cases: readonly Case[] = [
  ['copy between buffers', 2 * tensorBytes, () => copyBuffers(device)],
  ['copy', 2 * tensorBytes, () => launch(([a, to]) => launchUnary('copy', a!, to!, traits), [x, result])],
  ['gelu', 2 * tensorBytes, () => launch(([a, to]) => launchUnary('gelu', a!, to!, traits), [x, result])],
  ...(['gelu', 'quickGelu', 'relu'] as const).map((name): Case => [
    `${name} gradient`,
    3 * tensorBytes,
    () => launch(([a, g, to]) => launchUnaryGradient(name, a!, g!, to!, traits), [x, gradient, result]),
  ]),
  [
    'column sum',
    tensorBytes,
    () => {
      launch(([a, to]) => launchColumnSum(a!, to!, traits), [x, partial]);
      launch(([a, to]) => launchColumnSum(a!, to!, traits), [partial, bias]);
    },
  ],
  [
    'layernorm',
    2 * tensorBytes,
    () =>
      launch(([a, w, b, to]) => launchLayerNorm(a!, w!, b!, 1e-5, to!, traits), [x, weight, bias, result]),
  ],
  [
    'layernorm gradient',
    3 * tensorBytes,
    () =>
      launch(
        ([a, g, w, to, rows]) =>
          launchLayerNormGradient(
            { x: a!, gradient: g!, weight: w!, epsilon: 1e-5, result: to!, statistics: rows! },
            traits,
          ),
        [x, gradient, weight, result, statistics],
      ),
  ],
  [
    'layernorm weight gradient',
    2 * tensorBytes,
    () => {
      launch(
        ([a, g, rows, to]) => launchLayerNormWeightGradient(a!, g!, rows!, to!, traits),
        [x, gradient, statistics, normPartial],
      );
      launch(
        ([a, to]) => launchColumnSum(a!, to!, traits),
        [normPartial.reshape([groups, 2 * width]), normSums],
      );
    },
  ],
  ['softmax', 2 * tensorBytes, () => launch(([a, to]) => launchSoftmax(false, a!, to!, traits), [x, result])],
  ...[false, true].map((logarithm): Case => [
    logarithm ? 'log softmax gradient' : 'softmax gradient',
    3 * tensorBytes,
    () =>
      launch(([a, g, to]) => launchSoftmaxGradient(logarithm, a!, g!, to!, traits), [x, gradient, result]),
  ]),
  [
    'cross entropy',
    logitsBytes,
    () =>
      launch(
        ([a, t, to]) =>
          launchCrossEntropy({ logits: a!, targets: t!, ignoredTarget: classes + 1 }, to!, traits),
        [logits, targets, losses],
      ),
  ],
  [
    'cross entropy gradient',
    2 * logitsBytes,
    () =>
      launch(
        ([a, t, w, to]) =>
          launchCrossEntropyGradient(
            { logits: a!, targets: t!, ignoredTarget: classes + 1 },
            w!,
            to!,
            traits,
          ),
        [logits, targets, losses, logitsGradient],
      ),
  ],
];

const times = cases.map((): number[] => []);
// The first round compiles.
for (let round = -1; round < rounds; round++) {
  for (const [c, [, , work]] of cases.entries()) {
    await device.finish();
    const start = performance.now();
    work();
    await device.finish();
    if (round >= 0) times[c]!.push(performance.now() - start);
  }
}
console.log(
  `${device.adapter.name}: fastest of ${rounds}; f32[${tokens},${width}], logits f32[${labels},${classes}]`,
);
console.log(`${''.padEnd(26)}${['ms', 'GB/s', 'of buffers', 'of copy'].map((h) => h.padStart(11)).join('')}`);
const rates = cases.map(([, bytes], c) => bytes / Math.min(...times[c]!) / 1e6);
for (const [c, [name, bytes]] of cases.entries()) {
  const cells = [bytes / rates[c]! / 1e6, rates[c]!, rates[c]! / rates[0]!, rates[c]! / rates[1]!];
  console.log(name.padEnd(26) + cells.map((cell) => cell.toFixed(2).padStart(11)).join(''));
}
device.close();
