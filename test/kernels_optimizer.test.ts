/** Optimizers' steps against float64 and the reference of PyTorch. */
import { describe, expect, test } from '@jest/globals';
import type { Tensor } from '../engine/index.js';
import {
  type AdamWSettings,
  type Operand,
  elementCount,
  launchAdamW,
  launchLerp,
  launchMomentum,
  launchUpdate,
  setsPerLaunch,
} from '../kernels/index.js';
import { useDevice } from './support/device.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';
import { Launcher, adapterForms, bitsOf } from './support/launching.js';
import { Random, expectClose, poisoned, stored, tolerance } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const reference = readTensorFixture('ops/ops.safetensors');
const cases = readJsonFixture<Record<string, { attrs: ReferenceSettings }>>('ops/ops.json');
const floats = ['f32', 'f16'] as const;
const counts = [1, 3, 4, 257, 4100, 20_001];

interface ReferenceSettings {
  readonly lr: readonly number[];
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weight_decay: number;
}

const floatsOf = (values: ArrayLike<number>): Tensor =>
  device().tensor(Float32Array.from(values), [values.length]);
const flag = (value: number): Tensor => device().tensor(Uint32Array.of(value), [1]);

interface AdamWState {
  readonly parameter: Tensor;
  readonly first: Tensor;
  readonly second: Tensor;
}

function stepAdamW(
  launcher: Launcher,
  { parameter, first, second }: AdamWState,
  gradient: Tensor,
  settings: AdamWSettings,
  { factor = 1, skip = 0 } = {},
): void {
  // The factor lies behind the norm, as launchGradientNorm leaves it.
  const control = floatsOf([NaN, factor]).slice(0, 1, 2);
  launcher.run([parameter, gradient, first, second, control, flag(skip)], ([p, g, m, v, f, s], traits) => {
    const operands = { parameter: p!, gradient: g!, firstMoment: m!, secondMoment: v! };
    return launchAdamW([operands], { factor: f!, skip: s! }, settings, traits);
  });
}

/** AdamW in float64, in place. */
function adamw(
  [parameter, first, second]: readonly Float64Array[],
  gradient: ArrayLike<number>,
  { learningRate, betas, epsilon, weightDecay, step }: AdamWSettings,
): void {
  parameter!.forEach((_, i) => {
    const g = gradient[i]!;
    parameter![i]! *= 1 - learningRate * weightDecay;
    first![i] = betas[0] * first![i]! + (1 - betas[0]) * g;
    second![i] = betas[1] * second![i]! + (1 - betas[1]) * g * g;
    const root = Math.sqrt(second![i]) / Math.sqrt(1 - betas[1] ** step);
    parameter![i]! -= ((learningRate / (1 - betas[0] ** step)) * first![i]) / (root + epsilon);
  });
}

const settingsAt = (step: number): AdamWSettings => ({
  learningRate: 0.01 * step,
  betas: [0.9, 0.98],
  epsilon: 1e-6,
  weightDecay: 0.2,
  step,
});

// Without subgroups these kernels are what they are on a GPU.
describe.each(adapterForms.slice(0, 2))('optimizers %s', (_, own) => {
  const launcher = (): Launcher => new Launcher(device(), own);

  test.each(floats)('AdamW by %s gradients, scaled', async (dtype) => {
    for (const count of counts) {
      const random = new Random(count);
      const start = random.floats(count);
      const state = {
        parameter: floatsOf(start),
        first: floatsOf(new Float32Array(count)),
        second: floatsOf(new Float32Array(count)),
      };
      const expected = [Float64Array.from(start), new Float64Array(count), new Float64Array(count)];
      for (let step = 1; step <= 4; step++) {
        // Magnitudes from far below epsilon to far above 1, and zeros.
        const drawn = random.floats(count).map((x, i) => x * 10 ** ((i % 9) - 6) * (i % 5 === 0 ? 0 : 1));
        const gradient = await stored(device(), drawn, [count], dtype);
        stepAdamW(launcher(), state, gradient.tensor, settingsAt(step), { factor: 0.25 });
        adamw(
          expected,
          Array.from(gradient.values, (g) => g / 4),
          settingsAt(step),
        );
      }
      for (const [i, tensor] of [state.parameter, state.first, state.second].entries()) {
        expectClose(await tensor.read(), expected[i]!);
      }
    }
  });

  test('AdamW in parts is AdamW, twice over, and changes nothing around them', async () => {
    const count = 4096;
    const random = new Random(8);
    const [start, gradient] = [random.floats(count), floatsOf(random.floats(count))];
    const results: Float32Array[] = [];
    for (const cuts of [
      [0, count],
      [0, count],
      [0, 1000, 1001, 3003, count],
    ]) {
      const tensors = ['parameter', 'first', 'second'].map((name) => {
        const around = poisoned(device(), [count + 8]);
        const inside = around.slice(0, 4, count + 4);
        device().write(around, name === 'parameter' ? start : new Float32Array(count), 4);
        return { around, inside };
      });
      for (let step = 1; step <= 2; step++) {
        cuts.slice(1).forEach((end, i) => {
          const [parameter, first, second] = tensors.map(({ inside }) => inside.slice(0, cuts[i]!, end));
          const state = { parameter: parameter!, first: first!, second: second! };
          stepAdamW(launcher(), state, gradient.slice(0, cuts[i]!, end), settingsAt(step));
        });
      }
      for (const { around } of tensors) {
        const ends = [around.slice(0, 0, 4), around.slice(0, count + 4, count + 8)];
        for (const end of ends) expect([...(await end.read())]).toEqual(new Array(4).fill(NaN));
      }
      const all = await Promise.all(tensors.map(({ inside }) => inside.read()));
      results.push(Float32Array.from(all.flatMap((values) => [...values])));
    }
    for (const result of results) expect(bitsOf(result)).toEqual(bitsOf(results[0]!));
    expect(results[0]).not.toContain(NaN);
  });

  test('a set flag leaves every weight and moment in every bit', async () => {
    for (const count of [5, 64]) {
      const values = [...new Random(1).floats(count)];
      const [parameter, first, second, buffer] = [1, 2, 3, 4].map(() => floatsOf(values));
      const gradient = floatsOf(new Float32Array(count).fill(NaN));
      const state = { parameter: parameter!, first: first!, second: second! };
      stepAdamW(launcher(), state, gradient, settingsAt(1), { factor: 0, skip: 1 });
      const direction = poisoned(device(), [count]);
      moved(launcher(), { buffer: buffer!, gradient, result: direction }, 0.9, { skip: 7 });
      launcher().run([parameter!, gradient, flag(2)], ([x, y, s], traits) =>
        launchUpdate(
          [{ parameter: x!, update: y! }],
          s!,
          { learningRate: 1, weightDecay: 1, scale: 1 },
          traits,
        ),
      );
      for (const tensor of [parameter!, first!, second!, buffer!]) {
        expect([...(await tensor.read())]).toEqual(values);
      }
      expect([...(await direction.read())]).toEqual(new Array(count).fill(0));
    }
  });

  test.each(floats)('momentum looks ahead, by gradients and directions in %s', async (dtype) => {
    for (const count of counts) {
      const random = new Random(count);
      const buffer = floatsOf(new Float32Array(count));
      const expected = new Float64Array(count);
      for (let step = 0; step < 3; step++) {
        const gradient = await stored(device(), random.floats(count), [count], dtype);
        const result = poisoned(device(), [count], dtype);
        moved(launcher(), { buffer, gradient: gradient.tensor, result }, 0.95, { factor: 0.5 });
        const direction = Array.from(gradient.values, (g, i) => {
          expected[i] = 0.95 * expected[i]! + g / 2;
          return g / 2 + 0.95 * expected[i];
        });
        expectClose(await result.read(), direction, tolerance[dtype]);
      }
      expectClose(await buffer.read(), expected);
    }
  });

  test.each(floats)('an update in %s steps and decays', async (dtype) => {
    for (const count of counts) {
      const random = new Random(count);
      const start = random.floats(count);
      const parameter = floatsOf(start);
      const update = await stored(device(), random.floats(count), [count], dtype);
      const settings = { learningRate: 0.02, weightDecay: 0.1, scale: 3 };
      launcher().run([parameter, update.tensor, flag(0)], ([x, y, s], traits) =>
        launchUpdate([{ parameter: x!, update: y! }], s!, settings, traits),
      );
      expectClose(
        await parameter.read(),
        Array.from(start, (x, i) => x * (1 - 0.002) - 0.06 * update.values[i]!),
      );
    }
  });

  test.each(floats)('lerp moves an average towards values in %s', async (dtype) => {
    for (const count of counts) {
      const random = new Random(count);
      const start = random.floats(count);
      const value = await stored(device(), random.floats(count), [count], dtype);
      const average = floatsOf(start);
      const lerp = (weight: number): void =>
        launcher().run([average, value.tensor], ([x, y], traits) =>
          launchLerp([{ average: x!, value: y! }], weight, traits),
        );
      lerp(0.25);
      const expected = Array.from(start, (x, i) => x + (value.values[i]! - x) / 4);
      expectClose(await average.read(), expected);
      lerp(0);
      expectClose(await average.read(), expected);
      lerp(1);
      expectClose(await average.read(), value.values);
    }
  });
});

describe.each(adapterForms.slice(0, 2))('several sets in a launch %s', (_, own) => {
  const launcher = (): Launcher => new Launcher(device(), own);
  // Workgroups of the first are several, and so are those of the last.
  const sizes = [20_004, 4, 12_000];

  /** Tensors of such sizes, with NaN around them, and what they must be after some work. */
  function laid(random: Random, around: Tensor[]): Tensor[] {
    return sizes.map((size) => {
      const whole = poisoned(device(), [size + 8]);
      device().write(whole, random.floats(size), 4);
      around.push(whole);
      return whole.slice(0, 4, size + 4);
    });
  }

  /** All in one launch, and each in one of its own: the same in every bit, and nothing beside them. */
  async function compare(
    names: readonly string[],
    work: (sets: readonly (readonly Tensor[])[]) => void,
  ): Promise<void> {
    const results: Float32Array[][] = [];
    for (const together of [true, false]) {
      const random = new Random(3);
      const around: Tensor[] = [];
      const operands = names.map(() => laid(random, around));
      const sets = sizes.map((_, i) => operands.map((own) => own[i]!));
      if (together) work(sets);
      else sets.forEach((set) => work([set]));
      results.push(await Promise.all(around.map(async (whole) => (await whole.read()) as Float32Array)));
    }
    expect(results[0]!.map(bitsOf)).toEqual(results[1]!.map(bitsOf));
    for (const [i, values] of results[0]!.entries()) {
      const size = sizes[i % sizes.length]!;
      expect(values.filter(Number.isNaN)).toHaveLength(8);
      expect(values.subarray(4, size + 4)).not.toContain(NaN);
    }
  }

  test('AdamW', () =>
    compare(['parameter', 'gradient', 'first', 'second'], (sets) => {
      // A second moment is no less than zero.
      sets.forEach(([, , , second]) => {
        device().write(second!.view([second!.size], [1], 4), new Random(9).floats(second!.size, 0, 1), 0);
      });
      const control = [floatsOf([0.5]), flag(0)];
      launcher().run([...sets.flat(), ...control], (operands, traits) => {
        const [factor, skip] = operands.slice(-2);
        const given = sets.map((_, i) => {
          const [parameter, gradient, firstMoment, secondMoment] = operands.slice(4 * i);
          return {
            parameter: parameter!,
            gradient: gradient!,
            firstMoment: firstMoment!,
            secondMoment: secondMoment!,
          };
        });
        return launchAdamW(given, { factor: factor!, skip: skip! }, settingsAt(2), traits);
      });
    }));

  test('updates and averages', () =>
    compare(['parameter', 'update'], (sets) => {
      const pairs = (operands: readonly Operand[]) =>
        sets.map((_, i) => ({ parameter: operands[2 * i]!, update: operands[2 * i + 1]! }));
      launcher().run([...sets.flat(), flag(0)], (operands, traits) => {
        const settings = { learningRate: 0.1, weightDecay: 0.2, scale: 2 };
        return launchUpdate(pairs(operands), operands.at(-1)!, settings, traits);
      });
      launcher().run(sets.flat(), (operands, traits) => {
        const given = pairs(operands).map(({ parameter, update }) => ({ average: parameter, value: update }));
        return launchLerp(given, 0.25, traits);
      });
    }));

  test('are shared out by types and sizes, as many to a launch as it may bind, the rest by powers of two', () => {
    const set = (count: number, dtype: 'f32' | 'f16' = 'f32', offset = 0) => ({
      x: { dtype, shape: [count], strides: [1], offset },
    });
    const sets = [set(4), set(3), set(8), set(4, 'f16'), set(12), set(16), set(4, 'f32', 2), set(5), set(20)];
    const counts = setsPerLaunch(sets, 2).map((own) => own.map(({ x }) => elementCount(x.shape)));
    expect(counts).toEqual([[4, 8], [12, 16], [20], [3, 4], [5], [4]]);
    expect(setsPerLaunch(sets, 1)).toHaveLength(sets.length);
    const many = Array.from({ length: 19 }, () => set(4));
    expect(setsPerLaunch(many, 6).map(({ length }) => length)).toEqual([6, 6, 6, 1]);
    expect(setsPerLaunch(many, 13).map(({ length }) => length)).toEqual([13, 4, 2]);
    expect(setsPerLaunch([], 3)).toEqual([]);
  });

  test('must have the types of the first', () => {
    const [x, y] = [poisoned(device(), [4]), poisoned(device(), [4], 'f16')];
    expect(() =>
      launcher().run([x, x, x, y], ([a, b, c, d], traits) =>
        launchLerp(
          [
            { average: a!, value: b! },
            { average: c!, value: d! },
          ],
          1,
          traits,
        ),
      ),
    ).toThrow(/lerp: y f16\[4\] .* must be dense f32 of 4 elements/);
  });
});

function moved(
  launcher: Launcher,
  { buffer, gradient, result }: Record<'buffer' | 'gradient' | 'result', Tensor>,
  momentum: number,
  { factor = 1, skip = 0 } = {},
): void {
  launcher.run([buffer, gradient, result, floatsOf([factor]), flag(skip)], ([b, g, r, f, s], traits) =>
    launchMomentum({ buffer: b!, gradient: g!, result: r! }, { factor: f!, skip: s! }, momentum, traits),
  );
}

describe('optimizers', () => {
  test.each(['adamw.decay', 'adamw.nodecay'])('follow the reference: %s', async (name) => {
    const { lr, betas, eps, weight_decay: weightDecay } = cases[name]!.attrs;
    const start = reference.floats(`${name}/p0`);
    const state = {
      parameter: floatsOf(start),
      first: floatsOf(new Float32Array(start.length)),
      second: floatsOf(new Float32Array(start.length)),
    };
    for (const [i, learningRate] of lr.entries()) {
      const settings = { learningRate, betas, epsilon: eps, weightDecay, step: i + 1 };
      stepAdamW(new Launcher(device()), state, floatsOf(reference.floats(`${name}/g${i}`)), settings);
      const [actual, expected] = [await state.parameter.read(), reference.floats(`${name}/p${i + 1}`)];
      // Row by row: gradients near epsilon in one, none in another.
      for (let row = 0; row < 6; row++) {
        expectClose(actual.subarray(row * 4, row * 4 + 4), expected.subarray(row * 4, row * 4 + 4));
      }
    }
  });

  test('operands must be dense and of one size', () => {
    const [x, y] = [poisoned(device(), [4, 3]), poisoned(device(), [4, 2])];
    const lerp = (average: Tensor, value: Tensor): void =>
      new Launcher(device()).run([average, value], ([a, b], traits) =>
        launchLerp([{ average: a!, value: b! }], 1, traits),
      );
    expect(() => lerp(x, y)).toThrow(/lerp: y f32\[4,2\] .* must be dense f32 of 12 elements/);
    expect(() => lerp(x.transpose(), poisoned(device(), [4, 3]))).toThrow(
      /lerp: x f32\[3,4\] with strides \[1,3\]/,
    );
  });
});
