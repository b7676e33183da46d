/** Optimizers as the engine offers them: against the original's numbers, by what they promise, and where they stop. */
import { describe, expect, test } from '@jest/globals';
import {
  AdamW,
  type AdamWOptions,
  Muon,
  type Optimizer,
  type Tensor,
  backward,
  controlGradients,
  moveTowards,
  multiply,
  readParameters,
  sum,
  writeParameters,
} from '../engine/index.js';
import { useDevice } from './support/device.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';
import { Random, expectClose, poisonPool, sizeOf } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const limited = useDevice({ device: 'software', maxBindingBytes: 8192 });
const reference = readTensorFixture('ops/ops.safetensors');
const cases =
  readJsonFixture<Record<string, { readonly attrs: Readonly<Record<string, unknown>> }>>('ops/ops.json');

const parameterOf = (values: ArrayLike<number>, shape: readonly number[], on = device()): Tensor =>
  on.tensor(Float32Array.from(values), shape).requireGradient();

/** Gives a parameter exactly this gradient. */
function setGradient(parameter: Tensor, values: ArrayLike<number>): void {
  parameter.clearGradient();
  parameter.device.scope(() => {
    const gradient = parameter.device.tensor(Float32Array.from(values), [sizeOf(parameter.shape)]);
    backward(sum(multiply(parameter.reshape([parameter.size]), gradient), [0]));
  });
}

const single = (
  parameter: Tensor,
  learningRate = 0.1,
  weightDecay = 0,
): ConstructorParameters<typeof AdamW>[0] => [
  { parameters: new Map([['p', parameter]]), learningRate, weightDecay },
];

describe('AdamW', () => {
  test.each(['adamw.decay', 'adamw.nodecay'])('follows the original: %s', async (name) => {
    const {
      lr,
      betas,
      eps,
      weight_decay: weightDecay,
    } = cases[name]!.attrs as {
      lr: number[];
      betas: [number, number];
      eps: number;
      weight_decay: number;
    };
    const parameter = parameterOf(reference.floats(`${name}/p0`), [6, 4]);
    const [group] = single(parameter, 0, weightDecay);
    const optimizer = new AdamW([group!], { betas, epsilon: eps });
    for (const [i, learningRate] of lr.entries()) {
      setGradient(parameter, reference.floats(`${name}/g${i}`));
      group!.learningRate = learningRate;
      optimizer.step();
      expectClose(await parameter.read(), reference.floats(`${name}/p${i + 1}`), 1e-6);
    }
    expect([...optimizer.steps]).toEqual([['p', lr.length]]);
    optimizer.dispose();
    parameter.dispose();
    expect(device().memory.liveBytes).toBe(0);
  });

  test('changes a parameter beyond the binding as one within', async () => {
    const shape = [70, 101];
    const random = new Random(8);
    const [start, ...gradients] = Array.from({ length: 4 }, () => random.floats(sizeOf(shape)));
    const results = [device(), limited()].map((on) => {
      const parameter = parameterOf(start!, shape, on);
      const optimizer = new AdamW(single(parameter, 0.01, 0.1));
      for (const gradient of gradients) {
        setGradient(parameter, gradient);
        on.scope(() => optimizer.step(controlGradients([parameter.gradient!], { maxNorm: 5 })));
      }
      optimizer.dispose();
      return parameter;
    });
    const [expected, actual] = [await results[0]!.read(), await results[1]!.read()];
    expectClose(actual, expected, 1e-7);
    results.forEach((parameter) => parameter.dispose());
    expect([device().memory.liveBytes, limited().memory.liveBytes]).toEqual([0, 0]);
  });
});

describe.each<[string, (groups: ConstructorParameters<typeof AdamW>[0]) => Optimizer]>([
  ['AdamW', (groups) => new AdamW(groups, { betas: [0.8, 0.9] } satisfies AdamWOptions)],
  ['Muon', (groups) => new Muon(groups, { momentum: 0.9 })],
])('%s', (_, make) => {
  const shape = [6, 4];
  const values = (seed: number): Float32Array<ArrayBuffer> => new Random(seed).floats(24);

  test('takes many parameters together as it takes each alone, in fewer launches', async () => {
    const random = new Random(6);
    const shapes = [...new Array<number[]>(9).fill([6, 4]), [5, 3], [3, 5], [4, 6], [5, 3], [40, 60], [6, 4]];
    const given = shapes.map((own) => ({
      shape: own,
      start: random.floats(sizeOf(own)),
      gradients: [1, 2].map(() => random.floats(sizeOf(own))),
    }));
    const launches: number[] = [];
    const results: (readonly Float32Array[])[] = [];
    for (const [on, together] of [
      [device(), true],
      [device(), false],
      [limited(), true],
    ] as const) {
      const parameters = given.map(({ start, shape: own }) => parameterOf(start, own, on));
      const named = parameters.map((parameter, i) => [`p${i}`, parameter] as const);
      // Two groups that are trained differently.
      const groups = [named.filter((_, i) => i % 5 !== 0), named.filter((_, i) => i % 5 === 0)].map(
        (own, i) => ({ parameters: new Map(own), learningRate: 0.02 + 0.01 * i, weightDecay: 0.1 * i }),
      );
      const optimizers = together
        ? [make(groups)]
        : groups.flatMap((group) =>
            [...group.parameters].map((own) => make([{ ...group, parameters: new Map([own]) }])),
          );
      let count = 0;
      for (const step of [0, 1]) {
        given.forEach(({ gradients }, i) => setGradient(parameters[i]!, gradients[step]!));
        on.resetStatistics();
        optimizers.forEach((optimizer) => optimizer.step());
        count = on.counts.dispatches;
      }
      launches.push(count);
      results.push((await on.readAll(parameters)) as Float32Array[]);
      for (const owner of [...parameters, ...optimizers]) owner.dispose();
      expect(on.memory.liveBytes).toBe(0);
    }
    const [all, alone, parts] = results;
    all!.forEach((values, i) => {
      expectClose(values, alone![i]!, 1e-6);
      expectClose(parts![i]!, alone![i]!, 1e-5);
    });
    expect(launches[0]).toBeLessThan(launches[1]! / 2);
  });

  test('goes on from a saved state as if it had never stopped', async () => {
    const through = parameterOf(values(1), shape);
    const first = make(single(through, 0.02, 0.1));
    for (const seed of [2, 3]) {
      setGradient(through, values(seed));
      first.step();
    }
    const saved = await readParameters(first.state);
    const resumed = parameterOf(await through.read(), shape);
    const second = make(single(resumed, 0.02, 0.1));
    writeParameters(second.state, saved);
    for (const [name, steps] of first.steps) second.steps.set(name, steps);
    for (const [parameter, optimizer] of [
      [through, first],
      [resumed, second],
    ] as const) {
      setGradient(parameter, values(4));
      optimizer.step();
    }
    expect([...(await resumed.read())]).toEqual([...(await through.read())]);
    for (const owner of [through, resumed, first, second]) owner.dispose();
    expect(device().memory.liveBytes).toBe(0);
  });

  test.each([NaN, Infinity])('leaves everything as it is for a gradient with %p', async (bad) => {
    const [clean, dirty] = [parameterOf(values(1), shape), parameterOf(values(2), shape)];
    const group = { learningRate: 0.1, weightDecay: 0.5 };
    const parameters = new Map(Object.entries({ clean, dirty }));
    const optimizer = make([{ parameters, ...group }]);
    setGradient(clean, values(3));
    setGradient(dirty, values(4));
    optimizer.step();
    const before = await device().readAll([clean, dirty, ...optimizer.state.values()]);
    setGradient(dirty, values(4).fill(bad, 5, 6));
    const skip = device().scope(() => {
      const control = controlGradients([clean.gradient!, dirty.gradient!], { maxNorm: 1 });
      optimizer.step(control);
      return control.skip;
    });
    expect([...(await skip.read())]).toEqual([1]);
    optimizer.discountStep();
    expect([...optimizer.steps]).toEqual([
      ['clean', 1],
      ['dirty', 1],
    ]);
    expect(await device().readAll([clean, dirty, ...optimizer.state.values()])).toEqual(before);
    for (const owner of [clean, dirty, skip, optimizer]) owner.dispose();
  });

  test('counts the steps of each parameter from its first gradient', async () => {
    const [early, late, alone] = [1, 2, 2].map((seed) => parameterOf(values(seed), shape));
    const both = make([
      {
        parameters: new Map([
          ['early', early!],
          ['late', late!],
        ]),
        learningRate: 0.1,
        weightDecay: 0,
      },
    ]);
    const one = make(single(alone!));
    for (let step = 0; step < 5; step++) {
      setGradient(early!, values(10 + step));
      if (step >= 3) setGradient(late!, values(20 + step));
      both.step();
      if (step < 3) continue;
      setGradient(alone!, values(20 + step));
      one.step();
    }
    expect([...(await late!.read())]).toEqual([...(await alone!.read())]);
    expect(Object.fromEntries(both.steps)).toEqual({ early: 5, late: 2 });
    for (const owner of [early!, late!, alone!, both, one]) owner.dispose();
    expect(device().memory.liveBytes).toBe(0);
  });

  test('leaves parameters without a gradient alone, and refuses what it cannot train', async () => {
    const parameter = parameterOf(values(1), shape);
    const optimizer = make(single(parameter, 0.1, 0.5));
    optimizer.step();
    expect([...(await parameter.read())]).toEqual([...values(1)]);
    expect(() => make([])).toThrow(/there is no parameter to train/);
    expect(() => make([...single(parameter), ...single(parameter)])).toThrow(/p stands in two groups/);
    device().scope(() => expect(() => make(single(parameter.transpose()))).toThrow(/dense f32 tensors/));
    expect(() => make(single(parameter, NaN)).step()).toThrow(/the learning rate is NaN/);
    parameter.dispose();
  });
});

describe('Muon', () => {
  /** `uᵀ u` or `u uᵀ`, whichever is smaller, of a matrix in row-major order. */
  function gram(values: ArrayLike<number>, rows: number, columns: number): number[][] {
    const at = (i: number, k: number): number =>
      rows < columns ? values[i * columns + k]! : values[k * columns + i]!;
    const [size, depth] = rows < columns ? [rows, columns] : [columns, rows];
    return Array.from({ length: size }, (_, i) =>
      Array.from({ length: size }, (__, j) => {
        let product = 0;
        for (let k = 0; k < depth; k++) product += at(i, k) * at(j, k);
        return product;
      }),
    );
  }

  test.each([
    [48, 12],
    [12, 48],
    [16, 16],
    [1, 8],
    [8, 1],
  ])('an update of [%i,%i] has singular values near its scale', async (rows, columns) => {
    const parameter = parameterOf(new Float32Array(rows * columns), [rows, columns]);
    const optimizer = new Muon(single(parameter, 1));
    setGradient(parameter, new Random(3).floats(rows * columns));
    optimizer.step();
    const factor = Math.sqrt(Math.max(1, rows / columns));
    const products = gram(
      [...(await parameter.read())].map((value) => value / factor),
      rows,
      columns,
    );
    // The iteration brings singular values s between 0.7 and 1.2; rows of the Gram matrix of s² follow (Gershgorin).
    const trace = products.reduce((total, row, i) => total + row[i]!, 0) / products.length;
    expect(trace).toBeGreaterThan(0.45);
    expect(trace).toBeLessThan(1.5);
    const squares = products.flat().reduce((total, value) => total + value * value, 0) / products.length;
    // The mean of s⁴ less the square of the mean of s²: the spread of the s².
    if (rows !== columns) expect(squares - trace * trace).toBeLessThan(0.15);
    for (const owner of [parameter, optimizer]) owner.dispose();
  });

  test.each([
    [5, 9],
    [9, 5],
  ])('an update of [%i,%i] is what the iteration gives in double precision', async (rows, columns) => {
    const gradient = new Random(5).floats(rows * columns);
    const parameter = parameterOf(new Float32Array(rows * columns), [rows, columns]);
    const optimizer = new Muon(single(parameter, 1));
    setGradient(parameter, gradient);
    optimizer.step();
    const product = (x: number[][], y: number[][]): number[][] =>
      x.map((row) => y[0]!.map((_, j) => row.reduce((sum, value, k) => sum + value * y[k]![j]!, 0)));
    const transposed = (x: number[][]): number[][] => x[0]!.map((_, j) => x.map((row) => row[j]!));
    const length = Math.hypot(...gradient);
    let y = Array.from({ length: rows }, (_, i) =>
      Array.from(gradient.subarray(i * columns, (i + 1) * columns), (value) => value / length),
    );
    // Jordan et al. (2024): X <- aX + bAX + cA²X with A = XXᵀ, five times, of the transposed where that is smaller.
    if (rows > columns) y = transposed(y);
    for (let i = 0; i < 5; i++) {
      const square = product(y, transposed(y));
      const [once, twice] = [product(square, y), product(product(square, square), y)];
      y = y.map((row, r) =>
        row.map((value, c) => 3.4445 * value - 4.775 * once[r]![c]! + 2.0315 * twice[r]![c]!),
      );
    }
    if (rows > columns) y = transposed(y);
    const factor = -Math.sqrt(Math.max(1, rows / columns));
    const expected = y.flat().map((value) => factor * value);
    expectClose(await parameter.read(), expected, 1e-5);
    for (const owner of [parameter, optimizer]) owner.dispose();
  });

  test('a step that was only compiled leaves nothing behind that a later one computes with', async () => {
    const parameter = parameterOf([1, 2, 3, 4], [2, 2]);
    const optimizer = new Muon(single(parameter, 0.5, 0.1));
    setGradient(parameter, new Float32Array(4));
    void optimizer.state;
    poisonPool(device(), [1]);
    await device().compile(() => optimizer.step());
    optimizer.step();
    expectClose(await parameter.read(), [0.95, 1.9, 2.85, 3.8], 1e-6);
    for (const owner of [parameter, optimizer]) owner.dispose();
  });

  test('a gradient of zeros changes nothing but the decay', async () => {
    const parameter = parameterOf(new Random(1).floats(12), [3, 4]);
    const before = await parameter.read();
    const optimizer = new Muon(single(parameter, 0.5, 0.1));
    setGradient(parameter, new Float32Array(12));
    optimizer.step();
    expectClose(
      await parameter.read(),
      before.map((value) => value * 0.95),
      1e-6,
    );
    for (const owner of [parameter, optimizer]) owner.dispose();
  });

  test('does not depend on the size of the gradient, nor on the binding', async () => {
    const shape = [60, 90];
    const gradient = new Random(4).floats(5400);
    const updates = [
      [device(), 1],
      [device(), 1e-4],
      [limited(), 1],
    ] as const;
    const results = await Promise.all(
      updates.map(([on, factor]) => {
        const parameter = parameterOf(new Float32Array(5400), shape, on);
        const optimizer = new Muon(single(parameter, 1));
        setGradient(
          parameter,
          gradient.map((value) => value * factor),
        );
        optimizer.step();
        return parameter.read().finally(() => {
          for (const owner of [parameter, optimizer]) owner.dispose();
        });
      }),
    );
    expectClose(results[1]!, results[0]!, 1e-3);
    expectClose(results[2]!, results[0]!, 1e-4);
    expect([device().memory.liveBytes, limited().memory.liveBytes]).toEqual([0, 0]);
  });

  test('takes matrices alone', () => {
    const parameter = parameterOf([1, 2], [2]);
    expect(() => new Muon(single(parameter))).toThrow(/p is \[2\]; it trains matrices alone/);
    parameter.dispose();
  });
});

describe('moveTowards', () => {
  const filled = (value: number, count: number): Tensor =>
    device().tensor(new Float32Array(count).fill(value), [count]);

  test('moves averages of many sizes, whichever way a pair is written', () =>
    device().scope(async () => {
      const whole = filled(0, 12);
      const averages = [
        filled(1, 5),
        filled(2, 8),
        whole.slice(0, 0, 4),
        whole.slice(0, 4, 12),
        filled(3, 0),
      ];
      const values = averages.map(({ size }) => filled(10, size));
      moveTowards(
        averages.map((average, i) =>
          i % 2 === 0 ? { value: values[i]!, average } : { average, value: values[i]! },
        ),
        0.5,
      );
      const moved = await device().readAll(averages);
      expect(moved.map((own) => [...own])).toEqual(
        [5.5, 6, 5, 5, 0].map((value, i) => new Array<number>(averages[i]!.size).fill(value)),
      );
      for (const own of await device().readAll(values))
        expect(new Set(own)).toEqual(new Set(own.length ? [10] : []));
      expect(() => moveTowards([{ average: averages[0]!, value: values[1]! }], 0.5)).toThrow(
        'moveTowards: the value f32[8] does not fit the average f32[5]',
      );
      moveTowards([], 0.5);
    }));
});

describe('controlGradients', () => {
  test.each(['active', 'inactive', 'norm20'])('follows the original: clip_grad_norm.%s', async (variant) => {
    const name = `clip_grad_norm.${variant}`;
    const maxNorm = cases[name]!.attrs.max_norm as number;
    const gradients = ['g0', 'g1', 'g2'].map((part) => {
      const { shape } = reference.get(`${name}/in_${part}`);
      return device().tensor(Float32Array.from(reference.floats(`${name}/in_${part}`)), shape);
    });
    for (const lossScale of [1, 1024]) {
      const control = device().scope(() => {
        const scaled = gradients.map((own) =>
          multiply(own, device().tensor(Float32Array.of(lossScale), [1])),
        );
        return controlGradients(scaled, { maxNorm, lossScale });
      });
      const [norm, factor, skip] = await device().readAll([control.norm, control.factor, control.skip]);
      expectClose(norm!, [...reference.floats(`${name}/total_norm`)], 1e-6);
      expect([...skip!]).toEqual([0]);
      for (const [i, gradient] of gradients.entries()) {
        const values = (await gradient.read()).map((value) => value * factor![0]! * lossScale);
        expectClose(values, reference.floats(`${name}/out_g${i}`), 1e-6);
      }
      Object.values(control).forEach((tensor: Tensor) => tensor.dispose());
    }
    gradients.forEach((gradient) => gradient.dispose());
    expect(device().memory.liveBytes).toBe(0);
  });

  test('measures gradients beyond the binding, and empty ones', async () => {
    const values = new Random(3).floats(9001);
    const empty = limited().tensor(new Float32Array(0), [0, 3]);
    const gradient = limited().tensor(values, [9001]);
    const { norm, factor, skip } = controlGradients([gradient, empty]);
    expectClose(await norm.read(), [Math.hypot(...values)], 1e-6);
    const none = controlGradients([empty], { maxNorm: 1 });
    expect([...(await none.norm.read()), ...(await none.factor.read())]).toEqual([0, 1]);
    for (const tensor of [gradient, empty, norm, factor, skip, ...(Object.values(none) as Tensor[])])
      tensor.dispose();
    expect(limited().memory.liveBytes).toBe(0);
  });

  test('refuses nothing to measure and options without sense', () => {
    const gradient = device().tensor(Float32Array.of(1), [1]);
    expect(() => controlGradients([])).toThrow(/there is no gradient; call backward first/);
    expect(() => controlGradients([gradient], { maxNorm: 0 })).toThrow(RangeError);
    expect(() => controlGradients([gradient], { lossScale: Infinity })).toThrow(/lossScale Infinity/);
    gradient.dispose();
  });
});
