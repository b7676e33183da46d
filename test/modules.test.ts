/** Modules: names, first values, numbers, what they share with PyTorch's, and moving their parameters. */
import { describe, expect, test } from '@jest/globals';
import {
  Dropout,
  Embedding,
  LayerNorm,
  Linear,
  Module,
  MultiHeadAttention,
  RandomGenerator,
  Sequential,
  type Tensor,
  add,
  backward,
  checkpoint,
  mean,
  multiply,
  readParameters,
  sum,
  tanh,
  writeParameters,
} from '../engine/index.js';
import { useDevice } from './support/device.js';
import { Random, expectClose } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const context = (seed = 1): { device: ReturnType<typeof device>; random: RandomGenerator } => ({
  device: device(),
  random: new RandomGenerator(seed),
});
const upload = (values: Float32Array<ArrayBuffer>, ...shape: number[]): Tensor =>
  device().tensor(values, shape);
const read = async (tensor: Tensor): Promise<number[]> => [...(await tensor.read())];

/** `x wᵀ + b` in double precision; `x` `[rows, inputs]`, `w` `[outputs, inputs]`. */
function affine(x: readonly number[][], w: readonly number[], b: readonly number[]): number[][] {
  return x.map((row) =>
    b.map((bias, o) => row.reduce((total, value, i) => total + value * w[o * row.length + i]!, bias)),
  );
}

function rows(values: readonly number[], width: number): number[][] {
  return Array.from({ length: values.length / width }, (_, r) => values.slice(r * width, (r + 1) * width));
}

class Block extends Module {
  readonly attention: MultiHeadAttention;
  readonly norms: readonly LayerNorm[];
  readonly dropout: Dropout;
  readonly scale: Tensor;
  readonly #constant: Tensor;

  constructor(made: ReturnType<typeof context>) {
    super();
    this.attention = new MultiHeadAttention(made, 8, 2);
    this.norms = [new LayerNorm(made, 8), new LayerNorm(made, 8)];
    this.dropout = new Dropout(made, 0.5);
    this.scale = made.device.tensor(Float32Array.of(2), [1]).requireGradient();
    this.#constant = made.device.tensor(Float32Array.of(1), [1]);
  }

  forward(x: Tensor): Tensor {
    return device().scope(() => {
      const attended = this.dropout.forward(this.attention.forward(this.norms[0]!.forward(x)));
      return multiply(add(this.norms[1]!.forward(attended), this.#constant), this.scale);
    });
  }

  override dispose(): void {
    super.dispose();
    this.#constant.dispose();
  }
}

describe('parameters', () => {
  test('are found in fields, arrays and nested modules, and nowhere else', () => {
    const block = new Block(context());
    expect([...block.parameters().keys()]).toEqual([
      'attention.projectionWeight',
      'attention.projectionBias',
      'attention.output.weight',
      'attention.output.bias',
      'norms.0.weight',
      'norms.0.bias',
      'norms.1.weight',
      'norms.1.bias',
      'scale',
    ]);
    block.dispose();
    expect(device().memory.liveBytes).toBe(0);
  });

  test('of a sequence are named by position, and a shared layer counts once', () => {
    const made = context();
    const shared = new Linear(made, 3, 3, { bias: false });
    const network = new Sequential(shared, tanh, shared, new Linear(made, 3, 2));
    expect([...network.parameters().keys()]).toEqual(['0.weight', '3.weight', '3.bias']);
    network.dispose();
  });

  test('outlive the scope they were made in, and leave nothing when disposed', async () => {
    const layer = device().scope(() => new Linear(context(), 2, 2));
    expect((await read(layer.weight)).length).toBe(4);
    device().scope(() => backward(sum(layer.forward(upload(Float32Array.of(1, 2), 1, 2)), [0, 1])));
    layer.dispose();
    expect(device().memory.liveBytes).toBe(0);
  });

  test('start as those of PyTorch, and the same for a seed', async () => {
    const made = context(3);
    const linear = new Linear(made, 100, 40);
    const embedding = new Embedding(made, 50, 40);
    const attention = new MultiHeadAttention(made, 32, 4);
    const norm = new LayerNorm(made, 5);
    const again = new Linear(context(3), 100, 40);
    const spread = (values: readonly number[]): number =>
      Math.sqrt(values.reduce((total, value) => total + value * value, 0) / values.length);
    const weight = await read(linear.weight);
    expect(Math.max(...weight.map(Math.abs))).toBeLessThanOrEqual(0.1);
    expect(spread(weight)).toBeCloseTo(0.1 / Math.sqrt(3), 2);
    expect(Math.max(...(await read(linear.bias!)).map(Math.abs))).toBeLessThanOrEqual(0.1);
    expect(spread(await read(embedding.weight))).toBeCloseTo(1, 1);
    const bound = Math.sqrt(6 / 128);
    const projection = await read(attention.projectionWeight);
    expect(Math.max(...projection.map(Math.abs))).toBeLessThanOrEqual(bound);
    expect(spread(projection)).toBeCloseTo(bound / Math.sqrt(3), 2);
    expect(
      new Set([...(await read(attention.projectionBias)), ...(await read(attention.output.bias!))]),
    ).toEqual(new Set([0]));
    expect([await read(norm.weight), await read(norm.bias)]).toEqual([Array(5).fill(1), Array(5).fill(0)]);
    expect(await read(again.weight)).toEqual(weight);
    for (const module of [linear, embedding, attention, norm, again]) module.dispose();
  });

  test('are read and written by name', async () => {
    const [from, to] = [1, 2].map((seed) => new Sequential(new Linear(context(seed), 3, 2), tanh));
    const values = await readParameters(from!.parameters());
    writeParameters(to!.parameters(), values);
    expect(await readParameters(to!.parameters())).toEqual(values);
    const write = (changed: [string, { shape: number[]; values: Float32Array<ArrayBuffer> }][]) => () =>
      writeParameters(to!.parameters(), new Map([...values, ...changed]));
    const five = new Float32Array(5);
    expect(write([['0.bias', { shape: [5], values: five }]])).toThrow(
      /5 f32 values .* do not fit 0.bias, f32\[2\]/,
    );
    expect(write([['2.bias', { shape: [5], values: five }]])).toThrow(/there is no parameter 2.bias/);
    expect(() => writeParameters(to!.parameters(), new Map())).toThrow(/no values for 0.weight/);
    expect(await readParameters(to!.parameters())).toEqual(values);
    for (const module of [from!, to!]) module.dispose();
  });

  test.each<[string, () => unknown]>([
    ['Linear: inputs is 0', () => new Linear(context(), 0, 2)],
    ['LayerNorm: width is 1.5', () => new LayerNorm(context(), 1.5)],
    ['Embedding: rows is NaN', () => new Embedding(context(), NaN, 2)],
    ['a width of 6 does not divide into 4 heads', () => new MultiHeadAttention(context(), 6, 4)],
    ['the probability is 2', () => new Dropout(context(), 2)],
  ])('are refused: %s', (message, make) => {
    expect(make).toThrow(message);
    expect(device().memory.liveBytes).toBe(0);
  });
});

describe('numbers against double precision', () => {
  test('Linear', async () => {
    const layer = new Linear(context(), 5, 3);
    const x = new Random(2).floats(20);
    const result = layer.forward(upload(x, 2, 2, 5));
    expect(result.shape).toEqual([2, 2, 3]);
    const expected = affine(rows([...x], 5), await read(layer.weight), await read(layer.bias!));
    expectClose(await result.read(), expected.flat());
    layer.dispose();
  });

  test('Embedding', async () => {
    const layer = new Embedding(context(), 6, 4);
    const result = layer.forward(device().tensor(Uint32Array.of(5, 0, 2, 2), [2, 2]));
    const table = rows(await read(layer.weight), 4);
    expectClose(
      await result.read(),
      [5, 0, 2, 2].flatMap((id) => table[id]!),
      0,
    );
    layer.dispose();
  });

  test.each([false, true])('MultiHeadAttention, with memory of its own: %p', async (crossed) => {
    const [width, heads, queries] = [8, 2, 3];
    const layer = new MultiHeadAttention(context(), width, heads);
    const x = new Random(2).floats(queries * width);
    const memory = crossed ? new Random(3).floats(5 * width) : x;
    const keys = memory.length / width;
    const result = layer.forward(upload(x, 1, queries, width), {
      ...(crossed ? { memory: upload(memory, 1, keys, width) } : { causal: true }),
    });
    const weight = rows(await read(layer.projectionWeight), width);
    const project = (source: Float32Array, part: number): number[][] =>
      affine(
        rows([...source], width),
        weight.slice(part * width, (part + 1) * width).flat(),
        new Array<number>(width).fill(0),
      );
    const [query, key, value] = [project(x, 0), project(memory, 1), project(memory, 2)];
    const joined = query.map((q, i) => {
      const out: number[] = [];
      for (let head = 0; head < heads; head++) {
        const own = Array.from({ length: width / heads }, (_, c) => head * (width / heads) + c);
        const scores = key.map((k, j) =>
          !crossed && j > i
            ? 0
            : Math.exp(own.reduce((s, c) => s + q[c]! * k[c]!, 0) / Math.sqrt(width / heads)),
        );
        const total = scores.reduce((s, score) => s + score, 0);
        out.push(...own.map((c) => scores.reduce((s, score, j) => s + score * value[j]![c]!, 0) / total));
      }
      return out;
    });
    const bias = new Array<number>(width).fill(0);
    expectClose(await result.read(), affine(joined, await read(layer.output.weight), bias).flat());
    layer.dispose();
  });
});

describe('Dropout', () => {
  test('drops at random while training, anew at each call, and nothing otherwise', async () => {
    const layer = new Dropout(context(), 0.25);
    const x = upload(new Float32Array(4000).fill(3), 40, 100);
    const [first, second] = [await read(layer.forward(x)), await read(layer.forward(x))];
    expect(second).not.toEqual(first);
    expect(new Set(first)).toEqual(new Set([0, 4]));
    expect(first.filter((value) => value === 0).length / 4000).toBeCloseTo(0.25, 1);
    layer.calls = 0;
    expect(await read(layer.forward(x))).toEqual(first);
    const network = new Sequential(layer, new Sequential(layer));
    expect(await read(network.train(false).forward(x))).toEqual(await read(x));
    expect(network.train().training && layer.training).toBe(true);
  });

  test('drops the same when a checkpoint runs again, nested or not', async () => {
    const layer = new Dropout(context(), 0.5);
    const ones = (): Tensor => upload(new Float32Array(300).fill(1), 300).requireGradient();
    for (const wrap of [
      (x: Tensor) => checkpoint((a) => layer.forward(layer.forward(a)), [x]),
      (x: Tensor) => checkpoint((a) => layer.forward(checkpoint((b) => layer.forward(b), [a])), [x]),
    ]) {
      const calls = layer.calls;
      const x = ones();
      const result = wrap(x);
      backward(sum(result, [0]));
      expect(layer.calls).toBe(calls + 2);
      // The product of both masks is both the result and the gradient of ones.
      expect(await read(x.gradient!)).toEqual(await read(result));
      const again = ones();
      expect(await read(layer.forward(again))).not.toEqual(await read(result));
    }
  });
});

test('gradients reach every parameter of a network', async () => {
  const block = new Block(context());
  const x = upload(new Random(2).floats(32), 2, 2, 8);
  device().scope(() => backward(mean(multiply(block.forward(x), x), [0, 1, 2])));
  for (const [name, parameter] of block.parameters()) {
    if (name === 'attention.projectionBias') continue;
    const largest = Math.max(...(await read(parameter.gradient!)).map(Math.abs));
    if (!(largest > 1e-6)) throw new Error(`${name}: no gradient (${largest})`);
  }
  block.clearGradients();
  expect([...block.parameters().values()].every(({ gradient }) => gradient === undefined)).toBe(true);
  block.dispose();
});
