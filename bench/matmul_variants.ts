/**
 * Times the ways to multiply against each other on one adapter, in turns, so that a noisy machine troubles them
 * alike: `node dist/bench/matmul_variants.js [device]`. Every variant that the adapter allows is timed, whether or
 * not it is the first choice for the shape.
 */
import { type Device, type Tensor, openDevice } from '../engine/index.js';
import { type MatmulProblem, type MatmulVariant, type Operand, matmulVariants } from '../kernels/index.js';

/** Where a product occurs; its rows, depth and columns. The right operand is stored `[columns, depth]`, as weights are. */
const shapes: readonly (readonly [string, number, number, number])[] = [
  ['square', 768, 768, 768],
  ['tiny: query, key, value', 65, 128, 384],
  ['tiny: query, key, value of 8', 520, 128, 384],
  ['tiny: out of the MLP', 65, 512, 128],
  ['ViT-B: query, key, value', 197, 768, 2304],
  ['ViT-B: into the MLP', 197, 768, 3072],
  ['tiny: decode step', 1, 128, 384],
  ['base: decode step', 1, 768, 3072],
  ['base: decode step of 8', 8, 768, 768],
  ['base: decode step, out of the MLP', 1, 2048, 512],
  ['base: head', 26, 768, 95],
];

const rounds = 9;
/** A submit takes as many products as make about this many operations, so that its overhead does not count. */
const operationsPerSubmit = 3e7;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function problemOf([left, right, result]: readonly Operand[]): MatmulProblem {
  return { left: left!, right: right!, result: result!, activation: 'none', scale: 1 };
}

/** Milliseconds a product of each variant. */
async function timeVariants(
  device: Device,
  variants: readonly MatmulVariant[],
  tensors: readonly Tensor[],
  products: number,
): Promise<number[]> {
  const times = variants.map((): number[] => []);
  for (let round = -1; round < rounds; round++) {
    for (const [v, variant] of variants.entries()) {
      const start = performance.now();
      for (let i = 0; i < products; i++) {
        device.dispatch(
          (operands) => variant.launch(problemOf(operands), device.traits),
          tensors,
          () => variant.name,
        );
      }
      await device.finish();
      // The first round compiles.
      if (round >= 0) times[v]!.push((performance.now() - start) / products);
    }
  }
  return times.map(median);
}

function randomTensor(device: Device, shape: readonly number[]): Tensor {
  const values = new Float32Array(shape.reduce((count, size) => count * size, 1));
  return device.tensor(
    values.map(() => Math.random() - 0.5),
    shape,
  );
}

/** Three columns of text and three of figures. */
function printRow(cells: readonly (string | number)[]): void {
  const widths = [34, 20, 17, 9, 9, 9];
  const texts = cells.map((cell, i) => {
    const text = typeof cell === 'number' ? cell.toFixed(i === 3 ? 3 : 1) : cell;
    return i < 3 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!);
  });
  console.log(texts.join(' '));
}

const device = await openDevice({ device: process.argv[2] ?? '' });
console.log(`${device.adapter.name}: medians of ${rounds}`);
printRow(['product', 'rows, depth, columns', 'variant', 'ms', 'GFLOP/s', 'of plain']);
for (const [name, rows, depth, columns] of shapes) {
  const tensors = [
    randomTensor(device, [1, 1, rows, depth]),
    randomTensor(device, [1, 1, columns, depth]).transpose(),
    device.empty('f32', [1, 1, rows, columns]),
  ];
  const variants = matmulVariants.filter((variant) => variant.canApply(problemOf(tensors), device.traits));
  const operations = 2 * rows * depth * columns;
  const products = Math.max(1, Math.round(operationsPerSubmit / operations));
  const times = await timeVariants(device, variants, tensors, products);
  for (const [v, variant] of variants.entries()) {
    const ms = times[v]!;
    const shape = [rows, depth, columns].join(', ');
    printRow([name, shape, variant.name, ms, operations / ms / 1e6, times.at(-1)! / ms]);
  }
  tensors.forEach((tensor) => tensor.dispose());
}
device.close();
