/** The norm of all gradients, and the clipping and skipping that follow from it. */
import { describe, expect, test } from '@jest/globals';
import type { Tensor } from '../engine/index.js';
import {
  type Operand,
  launchFill,
  launchGradientNorm,
  launchSquareSums,
  setsPerLaunch,
  squareSumParts,
} from '../kernels/index.js';
import { useDevice } from './support/device.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';
import { Launcher, adapterForms, bitsOf } from './support/launching.js';
import { Random, expectClose, poisoned, stored } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const reference = readTensorFixture('ops/ops.safetensors');
const cases = readJsonFixture<Record<string, { attrs: { max_norm: number } }>>('ops/ops.json');

const operandOf = ({ dtype, shape, strides, offset }: Tensor): Operand => ({ dtype, shape, strides, offset });

/** Sums of squares of gradients in one tensor, the parts of each after those before. */
function squaresOf(launcher: Launcher, gradients: readonly Tensor[]): Tensor {
  const { traits } = launcher;
  const launches = setsPerLaunch(
    gradients.map((x) => ({ x })),
    15,
  ).map((sets) => sets.map(({ x }) => x));
  const counts = launches.map((xs) => squareSumParts(xs.map(operandOf), traits));
  const squares = poisoned(device(), [counts.reduce((sum, count) => sum + count, 0)]);
  let first = 0;
  for (const [i, xs] of launches.entries()) {
    const into = squares.slice(0, first, (first += counts[i]!));
    launcher.run([...xs, into], (operands) =>
      launchSquareSums(operands.slice(0, -1), operands.at(-1)!, traits),
    );
  }
  return squares;
}

const total = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, x) => sum + x, 0);

interface Outcome {
  readonly norm: number;
  readonly factor: number;
  readonly skip: number;
}

async function control(
  launcher: Launcher,
  squares: Tensor,
  maxNorm = Infinity,
  unscale = 1,
): Promise<Outcome> {
  const [result, skip] = [poisoned(device(), [2]), poisoned(device(), [1], 'u32')];
  launcher.run([squares, result, skip], ([from, to, flag], traits) =>
    launchGradientNorm({ squares: from!, maxNorm, unscale, control: to!, skip: flag! }, traits),
  );
  const [norm, factor] = await result.read();
  return { norm: norm!, factor: factor!, skip: (await skip.read())[0]! };
}

const squareSum = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, x) => sum + x * x, 0);

describe.each(adapterForms)('gradient norm %s', (_, own) => {
  const launcher = (): Launcher => new Launcher(device(), own);

  test.each(['f32', 'f16'] as const)('adds up the squares of %s', async (dtype) => {
    const counts = [1, 2, 63, 64, 1000, 4097, 32_769, 100_000, 300_001];
    const gradients = await Promise.all(
      counts.map((count) => stored(device(), new Random(count).floats(count, -1, 3), [count], dtype)),
    );
    const tensors = gradients.map(({ tensor }) => tensor);
    const [squares, again] = [squaresOf(launcher(), tensors), squaresOf(launcher(), tensors)];
    expect(bitsOf(await again.read())).toEqual(bitsOf(await squares.read()));
    for (const { tensor, values } of gradients) {
      const alone = await squaresOf(launcher(), [tensor]).read();
      expectClose([total(alone)], [squareSum(values)], 1e-6);
    }
    const { norm, factor, skip } = await control(launcher(), squares);
    const all = gradients.reduce((sum, { values }) => sum + squareSum(values), 0);
    expectClose([norm], [Math.sqrt(all)], 1e-6);
    expect([factor, skip]).toEqual([1, 0]);
  });

  test('of slices at odd places', async () => {
    const x = device().tensor(new Random(1).floats(700), [700]);
    const parts = [x.slice(0, 1, 5), x.slice(0, 8, 700), x.slice(0, 3, 4)];
    const expected = await Promise.all(parts.map(async (part) => squareSum(await part.read())));
    for (const [i, part] of parts.entries()) {
      expectClose([total(await squaresOf(launcher(), [part]).read())], [expected[i]!]);
    }
    expectClose([total(await squaresOf(launcher(), parts).read())], [total(expected)]);
    expect(() => squaresOf(launcher(), [x.reshape([70, 10]).transpose()])).toThrow(
      /square_sums: f32\[10,70\] with strides \[1,10\] must be dense/,
    );
  });

  test('scales down what exceeds the bound, after unscaling', async () => {
    const squares = device().tensor(Float32Array.of(9, 16), [2]);
    expect(await control(launcher(), squares, 20)).toEqual({ norm: 5, factor: 1, skip: 0 });
    expect(await control(launcher(), squares, 1)).toEqual({
      norm: 5,
      factor: expect.closeTo(0.2, 6),
      skip: 0,
    });
    const unscaled = await control(launcher(), squares, 1, 1 / 1024);
    expect(unscaled).toEqual({ norm: 5 / 1024, factor: 1 / 1024, skip: 0 });
    expect((await control(launcher(), squares, 1, 0.5)).factor).toBeCloseTo(0.2, 6);
    const nothing = device().tensor(Float32Array.of(0), [1]);
    expect(await control(launcher(), nothing, 20, 2)).toEqual({ norm: 0, factor: 2, skip: 0 });
  });

  test.each([
    ['NaN', NaN, NaN],
    ['infinity', Infinity, Infinity],
    ['minus infinity', -Infinity, Infinity],
    ['a square beyond f32', 1e30, Infinity],
  ])('%s anywhere skips the step', async (_name, value, norm) => {
    for (const [count, at] of [
      [1, 0],
      [1001, 1000],
      [40_000, 39_999],
      [40_000, 17_003],
    ] as const) {
      const values = new Random(4).floats(count);
      values[at] = value;
      const gradients = [device().tensor(new Float32Array(9), [9]), device().tensor(values, [count])];
      const outcome = await control(launcher(), squaresOf(launcher(), gradients), 20, 0.5);
      expect(outcome).toEqual({ norm, factor: 0, skip: 1 });
    }
  });

  test('f16 as large as it goes does not overflow', async () => {
    const count = 100_000;
    const gradient = poisoned(device(), [count], 'f16');
    launcher().run([gradient], ([to], traits) => launchFill(65_504, to!, traits));
    const { norm, factor, skip } = await control(
      launcher(),
      squaresOf(launcher(), [gradient]),
      1,
      1 / 65_536,
    );
    const expected = (65_504 * Math.sqrt(count)) / 65_536;
    expectClose([norm, factor], [expected, 1 / expected / 65_536], 1e-6);
    expect(skip).toBe(0);
  });
});

describe('gradient norm', () => {
  test('of 40 million like values keeps its digits', async () => {
    // Every element is seen, so that one that is added twice or left out shows.
    const count = 20_000_000;
    const gradients = (['f32', 'f16'] as const).map((dtype) => device().empty(dtype, [count]));
    const launcher = new Launcher(device());
    for (const gradient of gradients) {
      launcher.run([gradient], ([to], traits) => launchFill(0.1, to!, traits));
    }
    const firsts = await Promise.all(gradients.map((gradient) => gradient.slice(0, 0, 1).read()));
    const { norm } = await control(launcher, squaresOf(launcher, gradients));
    expectClose([norm], [Math.sqrt(count * squareSum(firsts.map(([first]) => first!)))], 1e-6);
    gradients.forEach((gradient) => gradient.dispose());
  });

  test.each(['active', 'inactive', 'norm20'])('follows the reference: clip_grad_norm.%s', async (variant) => {
    const name = `clip_grad_norm.${variant}`;
    const before = [0, 1, 2].map((i) => reference.floats(`${name}/in_g${i}`));
    const gradients = before.map((values) => device().tensor(Float32Array.from(values), [values.length]));
    const launcher = new Launcher(device());
    const { max_norm: maxNorm } = cases[name]!.attrs;
    const { norm, factor, skip } = await control(launcher, squaresOf(launcher, gradients), maxNorm);
    expectClose([norm], reference.floats(`${name}/total_norm`));
    expect(skip).toBe(0);
    before.forEach((values, i) => {
      expectClose(
        values.map((value) => value * factor),
        reference.floats(`${name}/out_g${i}`),
      );
    });
  });
});
