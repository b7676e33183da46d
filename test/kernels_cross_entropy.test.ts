/** Cross entropy and its gradient against float64, over odd and degenerate shapes, on memory that held NaN. */
import { describe, expect, test } from '@jest/globals';
import { type Tensor } from '../engine/index.js';
import {
  type AdapterTraits,
  type CrossEntropyProblem,
  type Launch,
  type Operand,
  launchCrossEntropy,
  launchCrossEntropyGradient,
} from '../kernels/index.js';
import { useDevice } from './support/device.js';
import { readTensorFixture } from './support/fixtures.js';
import { rowsOf, softmaxRow } from './support/float64.js';
import { Random, expectClose, poisoned, stored, tolerance } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const floats = ['f32', 'f16'] as const;
const reference = readTensorFixture('ops/ops.safetensors');
const values = (list: ArrayLike<number>, shape: readonly number[] = [list.length]): Tensor =>
  device().tensor(Float32Array.from(list), shape);
const ids = (list: readonly number[], shape: readonly number[] = [list.length]): Tensor =>
  device().tensor(Uint32Array.from(list), shape);
const known = (name: string): Tensor => values(reference.floats(name), reference.get(name).shape);
const launch = (build: (operands: readonly Operand[]) => Launch, tensors: readonly Tensor[]): void =>
  device().dispatch(build, tensors, () => 'test');

const forms: [string, Partial<AdapterTraits>][] = [
  ['a row a lane, long ones in subgroups', {}],
  ['a row a lane, long ones in workgroup memory', { subgroupSize: 0 }],
  ['in subgroups', { software: false }],
  ['in workgroup memory', { software: false, subgroupSize: 0 }],
];

describe.each(forms)('cross entropy %s', (_, own) => {
  const traits = (): AdapterTraits => ({ ...device().traits, ...own });
  const ignoredTarget = 1000;

  function problem(logits: Operand, targets: Operand, ignored = ignoredTarget): CrossEntropyProblem {
    return { logits, targets, ignoredTarget: ignored };
  }

  function losses(logits: Tensor, targets: Tensor, ignored?: number): Tensor {
    const result = poisoned(device(), [logits.shape[0]!]);
    launch(
      ([x, t, to]) => launchCrossEntropy(problem(x!, t!, ignored), to!, traits()),
      [logits, targets, result],
    );
    return result;
  }

  function gradients(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    result: Tensor,
    ignored?: number,
  ): Tensor {
    launch(
      ([x, t, w, to]) => launchCrossEntropyGradient(problem(x!, t!, ignored), w!, to!, traits()),
      [logits, targets, weights, result],
    );
    return result;
  }

  /** `log(1 + sum of exp(x - x[target]) of the others)`, exact where the loss is small too. */
  function lossRow(row: readonly number[], target: number): number {
    return Math.log1p(row.reduce((sum, x, i) => sum + (i === target ? 0 : Math.exp(x - row[target]!)), 0));
  }

  function gradientRow(row: readonly number[], target: number, weight: number): number[] {
    const shares = softmaxRow(row);
    const others = shares.reduce((sum, share, i) => sum + (i === target ? 0 : share), 0);
    return shares.map((share, i) => weight * (i === target ? -others : share));
  }

  const shapes: [number, number][] = [
    [1, 1],
    [1, 2],
    [7, 5],
    [3, 8],
    [30, 95],
    [9, 97],
    [5, 65],
    // Longer than a lane takes alone on a CPU, and more than a workgroup takes at once.
    [70, 700],
  ];

  test.each(floats)('loss and gradient, %s', async (dtype) => {
    for (const [count, classes] of shapes) {
      const random = new Random(classes);
      const x = await stored(device(), random.floats(count * classes, -9, 9), [count, classes], dtype);
      // Every fourth row is ignored, one has a bad target.
      const targets = Array.from({ length: count }, (_x, r) =>
        r === 5 ? classes : r % 4 === 2 ? ignoredTarget : random.integer(classes),
      );
      const weights = random.floats(count, -1, 1);
      const rows = rowsOf(x.values, classes);
      const loss = losses(x.tensor, ids(targets));
      const result = poisoned(device(), [count, classes], dtype);
      gradients(x.tensor, ids(targets), values(weights), result);
      const [expectedLoss, expectedGradient] = [
        (row: readonly number[], target: number) => [lossRow(row, target)],
        (row: readonly number[], target: number, r: number) => gradientRow(row, target, weights[r]!),
      ].map((each) =>
        rows.flatMap((row, r) => {
          const target = targets[r]!;
          if (target < classes) return each(row, target, r);
          return each(row, 0, r).map(() => (target === ignoredTarget ? 0 : NaN));
        }),
      );
      expectClose(await loss.read(), expectedLoss!);
      expectClose(await result.read(), expectedGradient!, tolerance[dtype]);
    }
  });

  test('one weight for all rows, rows in slices, every second target', async () => {
    const random = new Random(3);
    const data = random.floats(6 * 12);
    const logits = values(data, [6, 12]).slice(1, 1, 11);
    const targets = ids([3, 99, 0, 99, 9, 99, ignoredTarget, 99, 1, 99, 2, 99], [6, 2]).select(1, 0);
    const weight = values([9, 0.25]).slice(0, 1, 2).expand([6]);
    const result = poisoned(device(), [6, 11]);
    gradients(logits, targets, weight, result.slice(1, 0, 10));
    const rows = rowsOf(data, 12).map((row) => row.slice(1, 11));
    const wanted = [3, 0, 9, ignoredTarget, 1, 2];
    const expected = rows.flatMap((row, r) => {
      const own = wanted[r]!;
      const gradient = own === ignoredTarget ? row.map(() => 0) : gradientRow(row, own, 0.25);
      return [...gradient, NaN];
    });
    expectClose(await result.read(), expected);
    expectClose(
      await losses(logits, targets).read(),
      rows.map((row, r) => (wanted[r] === ignoredTarget ? 0 : lossRow(row, wanted[r]!))),
    );
    expect(() => losses(values(data, [6, 12]).transpose(), ids(new Array<number>(12).fill(0)))).toThrow(
      /^cross_entropy: the classes must be contiguous, their stride is 12/,
    );
  });

  test('small losses and probabilities near 1 keep their digits', async () => {
    const margins = [0, 0.5, 3, 4.6, 4.7, 8, 20, 40, 80];
    const rows = margins.map((margin) => [-margin, 0, -margin - 1]);
    const logits = values(rows.flat(), [margins.length, 3]);
    const targets = ids(margins.map(() => 1));
    const loss = await losses(logits, targets).read();
    const weight = values([1]).expand([margins.length]);
    const gradient = await gradients(logits, targets, weight, poisoned(device(), logits.shape)).read();
    for (const [r, row] of rowsOf(await logits.read(), 3).entries()) {
      expect(Math.abs(loss[r]! / lossRow(row, 1) - 1)).toBeLessThanOrEqual(1e-5);
      for (const [i, expected] of gradientRow(row, 1, 1).entries()) {
        expect(Math.abs(gradient[r * 3 + i]! / expected - 1)).toBeLessThanOrEqual(1e-5);
      }
    }
  });

  test('extreme logits', async () => {
    const infinity = Infinity;
    const rows = [
      [3e38, -3e38, 0],
      [3e38, -3e38, 0],
      [-infinity, 1, 1],
      [-infinity, 1, 1],
      [-infinity, -infinity, -infinity],
      [NaN, 0, 0],
      [NaN, infinity, 0],
    ];
    const targets = ids([0, 1, 0, 1, 0, 1, ignoredTarget]);
    const logits = values(rows.flat(), [rows.length, 3]);
    const loss = [...(await losses(logits, targets).read())];
    expect(loss.slice(0, 3)).toEqual([0, infinity, infinity]);
    expectClose(loss.slice(3), [Math.LN2, NaN, NaN, 0]);
    const weights = values([1, 1, 1, 1, 1, 1, NaN]);
    const gradient = await gradients(logits, targets, weights, poisoned(device(), [rows.length, 3])).read();
    const none = [NaN, NaN, NaN];
    const expected = [[0, 0, 0], [1, -1, 0], [-1, 0.5, 0.5], [0, -0.5, 0.5], none, none, [0, 0, 0]];
    expectClose(gradient, expected.flat());
  });

  test('the ignored target may be a class, and a target far outside reads nothing', async () => {
    const logits = values([1, 2, 3, 4, 5, 6], [3, 2]);
    const targets = ids([0, 1, 0xffffffff]);
    expectClose(await losses(logits, targets, 0).read(), [0, lossRow([3, 4], 1), NaN]);
    const weights = values([1, 1, 1]);
    const result = gradients(logits, targets, weights, poisoned(device(), [3, 2]), 0);
    expectClose(await result.read(), [0, 0, ...gradientRow([3, 4], 1, 1), NaN, NaN]);
  });

  test('many classes of like logits keep their digits', async () => {
    const classes = 50_001;
    const logits = values(new Float32Array(classes).fill(0.1), [1, classes]);
    expectClose(await losses(logits, ids([7])).read(), [Math.log(classes)], 1e-6);
    const result = gradients(logits, ids([7]), values([1]), poisoned(device(), [1, classes]));
    const expected = new Float32Array(classes).fill(1 / classes);
    expected[7] = 1 / classes - 1;
    expectClose(await result.read(), expected);
  });

  test('agrees with PyTorch', async () => {
    for (const own of ['cross_entropy', 'cross_entropy_scaled']) {
      const logits = known(`${own}/in_x`);
      const targets = reference.integers(`${own}/in_t`);
      const counted = targets.filter((target) => target !== 96).length;
      const factor = own === 'cross_entropy' ? 1 : 25 / 130;
      const loss = [...(await losses(logits, ids(targets), 96).read())];
      const mean = loss.reduce((sum, value) => sum + value, 0) / counted;
      expectClose([factor * mean], reference.floats(`${own}/out`));
      const upstream = (reference.floats(`${own}/grad_out`)[0]! * factor) / counted;
      const weights = values([upstream]).expand([targets.length]);
      const result = gradients(logits, ids(targets), weights, poisoned(device(), logits.shape), 96);
      expectClose(await result.read(), reference.floats(`${own}/gin_x`));
    }
  });

  test('is the same bit for bit when computed again', async () => {
    const random = new Random(8);
    const logits = values(random.floats(300 * 95), [300, 95]);
    const targets = device().tensor(random.integers(300, 95), [300]);
    const weights = values(random.floats(300));
    const [first, second, third, fourth] = await device().readAll([
      losses(logits, targets),
      losses(logits, targets),
      gradients(logits, targets, weights, poisoned(device(), [300, 95])),
      gradients(logits, targets, weights, poisoned(device(), [300, 95])),
    ]);
    expect(second).toEqual(first);
    expect(fourth).toEqual(third);
  });
});
