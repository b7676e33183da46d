/** The backward of picking rows against float64, and fills. */
import { describe, expect, test } from '@jest/globals';
import type { Dtype, Tensor } from '../engine/index.js';
import { type Picks, launchFill, launchScatter, launchSortIndices } from '../kernels/index.js';
import { useDevice } from './support/device.js';
import { readTensorFixture } from './support/fixtures.js';
import { Launcher, adapterForms, bitsOf } from './support/launching.js';
import { Random, expectClose, poisoned, stored, tolerance } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const reference = readTensorFixture('ops/ops.safetensors');

interface Scatter {
  readonly gradient: Tensor;
  readonly index: Tensor;
  readonly axis: number;
  readonly outside: Picks['outside'];
  readonly scale: number;
  readonly result: Tensor;
  /** Entries of the axis that one launch sees. */
  readonly window?: number;
}

function scatter(launcher: Launcher, problem: Scatter): void {
  const { gradient, index, axis, outside, scale, result, window = axis } = problem;
  const order = poisoned(device(), index.shape, 'u32');
  launcher.run([index, order], ([from, to], traits) =>
    launchSortIndices({ index: from!, order: to!, axis, outside }, traits),
  );
  for (let windowStart = 0; windowStart < axis; windowStart += window) {
    const part = result.slice(1, windowStart, Math.min(axis, windowStart + window));
    launcher.run([gradient, index, order, part], ([g, i, o, r], traits) =>
      launchScatter(
        { gradient: g!, index: i!, order: o!, axis, outside, scale, result: r!, windowStart },
        traits,
      ),
    );
  }
  order.dispose();
}

/** Adds the gradients to `into` in float64. */
function scattered(
  into: ArrayLike<number>,
  gradient: ArrayLike<number>,
  index: ArrayLike<number>,
  [outers, picks, axis, inner]: readonly [number, number, number, number],
  { outside, scale }: Pick<Scatter, 'outside' | 'scale'>,
): Float64Array {
  const expected = Float64Array.from(into);
  for (let outer = 0; outer < outers; outer++) {
    for (let pick = 0; pick < picks; pick++) {
      const raw = index[outer * picks + pick]!;
      if (raw >= axis && outside === 'nowhere') continue;
      const entry = Math.min(raw, axis - 1);
      for (let i = 0; i < inner; i++) {
        expected[(outer * axis + entry) * inner + i]! +=
          scale * gradient[(outer * picks + pick) * inner + i]!;
      }
    }
  }
  return expected;
}

/** outers, picks, axis, inner */
const shapes: [number, number, number, number][] = [
  [1, 1, 1, 1],
  [1, 14, 97, 24],
  [3, 1, 7, 5],
  [2, 5, 3, 4],
  [4, 33, 5, 1],
  [1, 700, 97, 12],
  [2, 129, 50, 70],
  [1, 3, 4, 1284],
];

describe.each(adapterForms)('scatter %s', (_, own) => {
  const launcher = (): Launcher => new Launcher(device(), own);

  test.each([
    ['f32', 'f32'],
    ['f16', 'f16'],
    ['f16', 'f32'],
  ] as const)('adds %s gradients to %s, where their rows came from', async (dtype, into) => {
    for (const shape of shapes) {
      const [outers, picks, axis, inner] = shape;
      for (const outside of ['last', 'nowhere'] as const) {
        const random = new Random(picks + inner);
        const gradient = await stored(
          device(),
          random.floats(outers * picks * inner),
          [outers, picks, inner],
          dtype,
        );
        const ids = random.integers(outers * picks, axis + 1);
        const before = random.floats(outers * axis * inner);
        const target = await stored(device(), before, [outers, axis, inner], into);
        const index = device().tensor(ids, [outers, picks]);
        scatter(launcher(), {
          gradient: gradient.tensor,
          index,
          axis,
          outside,
          scale: 3,
          result: target.tensor,
        });
        const expected = scattered(target.values, gradient.values, ids, shape, { outside, scale: 3 });
        expectClose(await target.tensor.read(), expected, tolerance[into]);
      }
    }
  });

  test.each([1, 3, 32, 33, 1000])('sorts %i picks by entry, then by position', async (picks) => {
    const [outers, axis] = [3, 20];
    const ids = new Random(picks).integers(outers * picks, axis + 4);
    for (const outside of ['last', 'nowhere'] as const) {
      const highest = outside === 'last' ? axis - 1 : axis;
      const order = poisoned(device(), [outers, picks], 'u32');
      launcher().run([device().tensor(ids, [outers, picks]), order], ([index, to], traits) =>
        launchSortIndices({ index: index!, order: to!, axis, outside }, traits),
      );
      const expected = Array.from({ length: outers }, (_x, outer) => {
        const entries = Array.from(ids.slice(outer * picks, (outer + 1) * picks), (id) =>
          Math.min(id, highest),
        );
        return [...entries.keys()].sort((a, b) => entries[a]! - entries[b]! || a - b);
      });
      expect([...(await order.read())]).toEqual(expected.flat());
    }
  });

  test('leaves what nothing points at, in its slice and around it, in every bit', async () => {
    const random = new Random(3);
    const [outers, picks, axis, inner] = [2, 9, 6, 8];
    const ids = [0, 2, 3, 5, 3, 3, 7, 2, 0, 5, 5, 5, 5, 0, 9, 2, 3, 0];
    const index = device().tensor(Uint32Array.from(ids.flatMap((id) => [99, id])), [outers, picks, 2]);
    const dense = device().tensor(random.floats(outers * picks * inner), [outers, picks, inner]);
    const wide = device().tensor(random.floats(outers * picks * (inner + 3)), [outers, picks, inner + 3]);
    for (const gradient of [dense, wide.slice(2, 1, inner + 1)]) {
      const [rows, columns] = [axis + 2, inner + 8];
      const target = poisoned(device(), [outers, rows, columns]);
      const result = target.slice(1, 1, axis + 1).slice(2, 4, inner + 4);
      for (const row of [0, 2, 3, 5]) {
        launcher().run([result.select(1, row)], ([to], traits) => launchFill(row, to!, traits));
      }
      const before = await result.read();
      const problem = { index: index.select(2, 1), axis, outside: 'nowhere', scale: 0.5, window: 4 } as const;
      scatter(launcher(), { ...problem, gradient, result });
      const sums = scattered(before, await gradient.read(), ids, [outers, picks, axis, inner], problem);
      expectClose(await result.read(), sums);
      const after = [...(await target.read())];
      const expected = after.map((_value, i) => {
        const [outer, row, column] = [
          Math.floor(i / (rows * columns)),
          (Math.floor(i / columns) % rows) - 1,
          (i % columns) - 4,
        ];
        const inside = row >= 0 && row < axis && column >= 0 && column < inner;
        return inside ? sums[(outer * axis + row) * inner + column]! : NaN;
      });
      expectClose(after, expected);
    }
  });

  test('goes through windows of the axis, and gives the same bits each time', async () => {
    const [picks, axis, inner] = [3000, 1024, 20];
    const random = new Random(11);
    const gradient = device().tensor(random.floats(picks * inner), [1, picks, inner]);
    const ids = random.integers(picks, axis);
    ids.fill(7, 100, 900);
    const index = device().tensor(ids, [1, picks]);
    const results: Float64Array[] = [];
    for (const window of [axis, 300, axis]) {
      const result = device().tensor(new Float32Array(axis * inner), [1, axis, inner]);
      scatter(launcher(), { gradient, index, axis, outside: 'nowhere', scale: 1, result, window });
      results.push(Float64Array.from(await result.read()));
    }
    const shape = [1, picks, axis, inner] as const;
    const expected = scattered(new Float64Array(axis * inner), await gradient.read(), ids, shape, {
      outside: 'nowhere',
      scale: 1,
    });
    for (const result of results) {
      expectClose(result, expected);
      expect(bitsOf(result)).toEqual(bitsOf(results[0]!));
    }
  });
});

describe('scatter', () => {
  test('thousands of like rows keep their digits', async () => {
    const [picks, inner] = [16_384, 8];
    const [tenth] = Float32Array.of(0.1);
    const gradient = device().tensor(new Float32Array(picks * inner).fill(tenth!), [1, picks, inner]);
    const index = device().tensor(new Uint32Array(picks), [1, picks]);
    const result = device().tensor(new Float32Array(inner), [1, 1, inner]);
    scatter(new Launcher(device()), { gradient, index, axis: 1, outside: 'last', scale: 1, result });
    expectClose(await result.read(), new Array<number>(inner).fill(picks * tenth!));
  });

  test('rows must be contiguous', () => {
    const x = poisoned(device(), [1, 3, 4]);
    const index = poisoned(device(), [1, 4], 'u32');
    const problem = { index, axis: 3, outside: 'last', scale: 1, result: x.transpose() } as const;
    expect(() => scatter(new Launcher(device()), { ...problem, gradient: x.transpose() })).toThrow(
      /scatter: rows must be contiguous, their stride is 4/,
    );
  });

  /** A reference case's output gradient and indices, shaped as the kernel takes them. */
  function referenceCase(name: string, [outers, picks, axis, inner]: readonly number[]): Scatter {
    const gradient = Float32Array.from(reference.floats(`${name}/grad_out`));
    const index = Uint32Array.from(reference.integers(`${name}/in_i`));
    return {
      gradient: device().tensor(gradient, [outers!, picks!, inner!]),
      index: device().tensor(index, [outers!, picks!]),
      result: device().tensor(new Float32Array(outers! * axis! * inner!), [outers!, axis!, inner!]),
      axis: axis!,
      outside: 'last',
      scale: 1,
    };
  }

  test.each<[string, string, number[], number]>([
    ['embedding', 'gin_w', [1, 14, 97, 24], 1],
    ['embedding_scaled', 'gin_w', [1, 3, 97, 64], 8],
    ['gather', 'gin_x', [2, 3, 5, 1], 1],
    ['index_rows', 'gin_x', [3, 1, 6, 4], 1],
  ])('follows the reference: %s', async (name, gradientName, shape, scale) => {
    const problem = { ...referenceCase(name, shape), scale };
    scatter(new Launcher(device()), problem);
    expectClose(await problem.result.read(), reference.floats(`${name}/${gradientName}`));
  });
});

describe.each(adapterForms)('fill %s', (_, own) => {
  const fill = (value: number, result: Tensor): void =>
    new Launcher(device(), own).run([result], ([to], traits) => launchFill(value, to!, traits));

  test.each<[Dtype, number]>([
    ['f32', -1.5],
    ['f32', Infinity],
    ['f16', 0.25],
    ['i32', -7],
    ['u32', 4294967295],
  ])('of %s with %d', async (dtype, value) => {
    for (const shape of [[1], [7], [3, 5, 2], [256], [20_001], [20_000]]) {
      const result = poisoned(device(), shape, dtype);
      fill(value, result);
      expect([...(await result.read())].every((x) => x === value)).toBe(true);
    }
  });

  test('of a slice leaves what lies around it', async () => {
    const whole = poisoned(device(), [4, 5, 6, 8]);
    for (const result of [
      whole.slice(3, 2, 7).slice(1, 1, 4),
      whole.permute([2, 0, 3, 1]).slice(0, 0, 1),
      whole.select(0, 3),
    ]) {
      const before = [...(await whole.read())].filter((x) => !Number.isNaN(x)).length;
      const inside = [...(await result.read())].filter((x) => Number.isNaN(x)).length;
      fill(2, result);
      expect(new Set(await result.read())).toEqual(new Set([2]));
      const after = [...(await whole.read())].filter((x) => !Number.isNaN(x)).length;
      expect(after).toBe(before + inside);
    }
  });

  test('refuses values that an integer type does not hold', () => {
    const index = poisoned(device(), [4], 'u32');
    expect(() => fill(-1, index)).toThrow(RangeError);
    expect(() => fill(1.5, poisoned(device(), [4], 'i32'))).toThrow(/fill: 1.5 is not a 32-bit integer/);
  });
});
