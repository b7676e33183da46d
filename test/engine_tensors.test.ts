import { describe, expect, test } from '@jest/globals';
import {
  DisposedError,
  OutOfMemoryError,
  ShapeError,
  type Tensor,
  add,
  contiguous,
  openDevice,
  relu,
} from '../engine/index.js';
import { useDevice } from './support/device.js';
import { sizeOf } from './support/numbers.js';

const device = useDevice({ device: 'software' });

const counting = (shape: readonly number[]): Tensor =>
  device().tensor(
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => i),
    shape,
  );

const read = async (tensor: Tensor): Promise<number[]> => [...(await tensor.read())];

describe('views', () => {
  test('reshape, slice, select, permute, transpose and expand show the right elements without copying', async () => {
    const x = counting([2, 3, 4]);
    const before = device().memory.liveBytes;
    expect(await read(x.reshape([4, -1]).select(0, 1))).toEqual([6, 7, 8, 9, 10, 11]);
    expect(await read(x.slice(1, 1, -1).slice(2, -2))).toEqual([6, 7, 18, 19]);
    expect(await read(x.select(-1, -1))).toEqual([3, 7, 11, 15, 19, 23]);
    expect(await read(x.permute([2, 0, 1]).select(0, 1))).toEqual([1, 5, 9, 13, 17, 21]);
    expect(await read(x.select(0, 0).transpose())).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    expect(await read(counting([2, 1]).expand([2, 2, 3]))).toEqual([0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]);
    expect(device().memory.liveBytes - before).toBe(256);
  });

  test('reshape of a view that is not contiguous is right where strides allow it and refused elsewhere', async () => {
    const x = counting([4, 6]).slice(1, 1, 5);
    expect(await read(x.reshape([2, 2, 2, 2]))).toEqual(await read(x));
    expect(await read(x.transpose().reshape([2, 2, 4]))).toEqual(await read(x.transpose()));
    expect(() => x.reshape([16])).toThrow(ShapeError);
    expect(() => x.reshape([16])).toThrow(/\[4,4\] with strides \[6,1\].*contiguous/);
    expect(() => x.transpose().reshape([16])).toThrow(ShapeError);
    expect(() => counting([1, 4]).expand([3, 4]).reshape([12])).toThrow(ShapeError);
    expect(await read(contiguous(x.transpose()).reshape([16]))).toEqual(await read(x.transpose()));
  });

  test('splitHeads of a slice of a packed projection is a view', async () => {
    const heads = counting([1, 2, 12]).slice(2, 4, 8).splitHeads(2);
    expect(heads.shape).toEqual([1, 2, 2, 2]);
    expect(await read(heads)).toEqual([4, 5, 16, 17, 6, 7, 18, 19]);
  });

  test('empty and scalar tensors', async () => {
    const empty = counting([4, 5]).slice(1, 2, 2);
    expect(empty.shape).toEqual([4, 0]);
    expect(await read(empty.reshape([0, 7]))).toEqual([]);
    expect(await read(relu(empty))).toEqual([]);
    const scalar = counting([1]).reshape([]);
    expect(scalar.rank).toBe(0);
    expect(await read(add(scalar, scalar))).toEqual([0]);
  });

  test.each<[string, (x: Tensor) => unknown]>([
    ['too few elements', (x) => x.reshape([5, 5])],
    ['negative sizes', (x) => x.reshape([-2, -12])],
    ['two unknown sizes', (x) => x.reshape([-1, -1])],
    ['a size that divides nothing', (x) => x.reshape([-1, 7])],
    ['an axis outside', (x) => x.slice(3, 0)],
    ['a slice past the end', (x) => x.slice(0, 0, 3)],
    ['a slice that ends before it starts', (x) => x.slice(2, 3, 1)],
    ['half an element', (x) => x.slice(2, 0.5)],
    ['an index outside', (x) => x.select(0, 2)],
    ['an axis named twice', (x) => x.permute([0, 1, 1])],
    ['too few axes', (x) => x.permute([0, 1])],
    ['expanding a size that is not 1', (x) => x.expand([2, 3, 8])],
    ['expanding to fewer dimensions', (x) => x.expand([3, 4])],
    ['heads that do not divide', (x) => x.splitHeads(3)],
  ])('refuse %s', (_, view) => {
    const x = counting([2, 3, 4]);
    expect(() => view(x)).toThrow(ShapeError);
    expect(() => view(x)).toThrow(/\[2,3,4\]|of 3 dimensions/);
  });
});

test('sizes and types that are none', () => {
  const untyped = device() as unknown as { tensor: (...given: unknown[]) => unknown };
  expect(() => untyped.tensor(new Float32Array(2))).toThrow(
    /tensor: the shape is undefined; expected a list of sizes/,
  );
  const x = counting([1, 3]);
  expect(() => x.expand([-3, 3])).toThrow('expand: [-3,3] is no shape; expected whole sizes from 0');
  expect(() => x.expand([1.5, 3])).toThrow('expand: [1.5,3] is no shape');
  expect(() => device().empty('bf16' as 'f16', [2])).toThrow(
    'empty: unknown type "bf16"; expected one of f32, f16, i32, u32',
  );
});

describe('host values', () => {
  test('must fill the shape and be of its type', () => {
    expect(() => device().tensor(new Float32Array(5), [2, 3])).toThrow(/5 values do not fill \[2,3\]/);
    expect(() => device().empty('f32', [2, -1])).toThrow(ShapeError);
    const x = counting([4]);
    expect(() => device().write(x, new Uint32Array(2))).toThrow(/u32 values/);
    expect(() => device().write(x, new Float32Array(2), 3)).toThrow(ShapeError);
    expect(() => device().write(x, new Float32Array(2), -1)).toThrow(ShapeError);
    expect(() => device().write(counting([2, 2]).transpose(), new Float32Array(4))).toThrow(ShapeError);
  });

  test('are refused in other types and in shared memory', () => {
    const shared = new Float32Array(new SharedArrayBuffer(16)) as unknown as Float32Array<ArrayBuffer>;
    const doubles = new Float64Array(4) as unknown as Float32Array<ArrayBuffer>;
    const list = [1, 2, 3, 4] as unknown as Float32Array<ArrayBuffer>;
    const x = counting([4]);
    for (const [data, seen] of [
      [shared, /SharedArrayBuffer; expected a Float32Array, Int32Array or Uint32Array/],
      [doubles, /Float64Array; expected/],
      [list, /Array; expected/],
    ] as const) {
      expect(() => device().tensor(data, [4])).toThrow(ShapeError);
      expect(() => device().tensor(data, [4])).toThrow(seen);
      expect(() => device().write(x, data)).toThrow(seen);
    }
  });

  test('keep their type and arrive in views', async () => {
    const x = device().tensor(Int32Array.of(-1, 2, 3, 4), [2, 2]);
    device().write(x.select(0, 1), Int32Array.of(-9), 1);
    const data = await x.read();
    expect(data).toBeInstanceOf(Int32Array);
    expect([...data]).toEqual([-1, 2, 3, -9]);
  });

  test('arrive whole where they are larger than what is mapped at once', async () => {
    const values = (count: number, seed: number) =>
      Uint32Array.from({ length: count }, (_, i) => Math.imul(i + seed, 0x9e3779b1));
    // 64 MiB are mapped at once: borders within the first and within the second, which starts between two elements.
    const sizes = [9_000_001, 12_345_678, 0, 3];
    const expected = sizes.map((size, i) => values(size, i));
    const tensors = expected.map((own) => device().tensor(own, [own.length]));
    const data = await device().readAll([tensors[0]!, tensors[1]!.slice(0, 5), ...tensors.slice(2)]);
    const wanted = [expected[0]!, expected[1]!.subarray(5), ...expected.slice(2)];
    expect(data.map((own, i) => own.length === wanted[i]!.length)).toEqual([true, true, true, true]);
    expect(data.map((own, i) => own.every((value, at) => value === wanted[i]![at]))).toEqual(
      data.map(() => true),
    );
    for (const tensor of tensors) tensor.dispose();
    device().trim();
  });

  test('a write keeps its place among recorded commands', async () => {
    const x = counting([3]);
    const before = add(x, x);
    device().write(x, Float32Array.of(10, 20, 30));
    const after = add(x, x);
    const recycled = device().scope(() => relu(counting([3])));
    const [first, second, third] = await device().readAll([before, after, recycled]);
    expect([...first!]).toEqual([0, 2, 4]);
    expect([...second!]).toEqual([20, 40, 60]);
    expect([...third!]).toEqual([0, 1, 2]);
  });

  test('a buffer that recorded commands still read may be filled anew', async () => {
    const results = [];
    for (let i = 0; i < 5; i++) {
      results.push(device().scope(() => relu(device().tensor(Float32Array.of(i, i), [2]))));
    }
    const values = await device().readAll(results);
    expect(values.map((data) => data[0])).toEqual([0, 1, 2, 3, 4]);
  });
});

describe('scopes', () => {
  test('free what is made in them, except what they return', async () => {
    const start = device().memory.liveBytes;
    const outside = counting([2]);
    const kept = device().scope(() => {
      const inner = device().scope(() => ({ list: [relu(outside)], dropped: 1 }));
      counting([1000]);
      return inner.list[0]!;
    });
    expect(device().memory.liveBytes - start).toBe(512);
    expect(await read(kept)).toEqual([0, 1]);
    kept.dispose();
    outside.dispose();
    expect(device().memory.liveBytes).toBe(start);
  });

  test('free everything when they throw, at once or later', async () => {
    const start = device().memory;
    const fail = (): never => {
      counting([100]);
      throw new Error('stop');
    };
    expect(() => device().scope(fail)).toThrow('stop');
    await expect(
      device().scope(async () => {
        const x = counting([100]);
        await x.read();
        fail();
      }),
    ).rejects.toThrow('stop');
    expect(device().memory.liveBytes).toBe(start.liveBytes);
    expect(device().memory.buffers).toBe(start.buffers);
  });

  test('stay open until asynchronous work ends', async () => {
    const start = device().memory.liveBytes;
    const result = await device().scope(async () => {
      const x = counting([4]);
      expect(await read(x)).toEqual([0, 1, 2, 3]);
      return relu(x);
    });
    expect(await read(result)).toEqual([0, 1, 2, 3]);
    result.dispose();
    expect(device().memory.liveBytes).toBe(start);
  });

  test('that overlap in time free their own tensors alone', async () => {
    const start = device().memory.liveBytes;
    const work = (values: number, waits: number): Promise<Tensor> =>
      device().scope(async () => {
        let x = counting([values]);
        for (let wait = 0; wait < waits; wait++) {
          await x.read();
          x = relu(x);
        }
        return x;
      });
    const running = [work(3, 4), work(4, 1)];
    const mine = counting([2]);
    const [first, second] = await Promise.all(running);
    expect(await read(first!)).toEqual([0, 1, 2]);
    expect(await read(second!)).toEqual([0, 1, 2, 3]);
    expect(await read(mine)).toEqual([0, 1]);
    [first!, second!, mine].forEach((tensor) => tensor.dispose());
    expect(device().memory.liveBytes).toBe(start);
  });

  test('return tensors in Maps and in values that contain themselves', () => {
    const start = device().memory.liveBytes;
    const loop: { self?: unknown; tensor?: Tensor } = {};
    const result = device().scope(() => {
      loop.self = loop;
      loop.tensor = counting([2]);
      return { loop, map: new Map([['x', counting([3])]]) };
    });
    expect(result.loop.tensor!.disposed).toBe(false);
    expect(result.map.get('x')!.disposed).toBe(false);
    result.loop.tensor!.dispose();
    result.map.get('x')!.dispose();
    expect(device().memory.liveBytes).toBe(start);
  });

  test('keep takes a tensor out of every scope; exclusive works do not mingle', async () => {
    const kept = device().scope(() => device().scope(() => device().keep(counting([2]))));
    expect(kept.disposed).toBe(false);
    kept.dispose();
    const order: string[] = [];
    const work = (name: string) => async (): Promise<void> => {
      order.push(`${name} starts`);
      await counting([2]).read();
      order.push(`${name} ends`);
    };
    const failing = device().exclusively(async () => {
      throw new Error('first');
    });
    const [a, b] = [device().exclusively(work('a')), device().exclusively(work('b'))];
    await expect(failing).rejects.toThrow('first');
    await Promise.all([a, b]);
    expect(order).toEqual(['a starts', 'a ends', 'b starts', 'b ends']);
  });
});

describe('disposal', () => {
  test('of a tensor leaves its views alive; use afterwards names the tensor', async () => {
    const x = counting([2, 2]);
    const view = x.select(0, 1);
    x.dispose();
    x.dispose();
    expect(x.disposed).toBe(true);
    expect(await read(view)).toEqual([2, 3]);
    expect(() => relu(x)).toThrow(DisposedError);
    expect(() => x.reshape([4])).toThrow(/f32\[2,2\] was used after dispose/);
    await expect(x.read()).rejects.toThrow(DisposedError);
    view.dispose();
    expect(() => add(view, view)).toThrow(DisposedError);
  });
});

describe('memory', () => {
  test('is counted by live, pooled and peak bytes, and reused', () => {
    device().trim();
    const start = device().memory;
    expect(start.pooledBytes).toBe(0);
    device().resetStatistics();
    const x = device().empty('f32', [1 << 18]);
    expect(device().memory.liveBytes - start.liveBytes).toBe(1 << 20);
    x.dispose();
    expect(device().memory).toMatchObject({ liveBytes: start.liveBytes, pooledBytes: 1 << 20 });
    const again = device().empty('u32', [1 << 18]);
    expect(device().memory).toMatchObject({ pooledBytes: 0, peakBytes: start.liveBytes + (1 << 20) });
    again.dispose();
    device().trim();
    expect(device().memory.pooledBytes).toBe(0);
  });

  test('never passes the budget: waiting buffers go first, then an error names the operation', async () => {
    const small = await openDevice({ device: 'software', memoryBudgetBytes: 3 << 20 });
    try {
      const x = small.empty('f32', [1 << 18]);
      small.empty('f32', [1 << 19]).dispose();
      const y = small.empty('f32', [1 << 18]);
      expect(small.memory).toMatchObject({ liveBytes: 2 << 20, pooledBytes: 0 });
      const z = relu(y);
      expect(() => add(x, z)).toThrow(OutOfMemoryError);
      expect(() => add(x, z)).toThrow(
        /add\(f32\[262144\], f32\[262144\]\) -> f32\[262144\]: needs 1\.0 MB beside 3\.1 MB in use/,
      );
      z.dispose();
      const sum = add(x, y);
      expect(sum.size).toBe(1 << 18);
    } finally {
      small.close();
    }
  });

  test.each([true, false])(
    'hands no buffer out again that the driver refused, given back before it said so: %s',
    async (early) => {
      const own = await openDevice({ device: 'software' });
      try {
        const create = own.gpu.createBuffer.bind(own.gpu);
        own.gpu.createBuffer = (buffer) => create({ ...buffer, usage: 0xffff });
        const refused = own.empty('f32', [1000]);
        own.gpu.createBuffer = create;
        if (early) refused.dispose();
        await expect(own.finish()).rejects.toThrow(/^empty -> f32\[1000\]: Value 65535/);
        refused.dispose();
        expect(own.memory).toMatchObject({ liveBytes: 0, pooledBytes: 0 });
        const x = own.tensor(new Float32Array(1000).fill(-1), [1000]);
        expect(await read(relu(x))).toEqual(new Array(1000).fill(0));
      } finally {
        own.close();
      }
    },
  );

  test('refuses what no buffer of the adapter holds', () => {
    const before = device().memory.liveBytes;
    const elements = Math.floor(device().gpu.limits.maxBufferSize / 4) + 1024;
    expect(() => device().empty('f32', [elements])).toThrow(OutOfMemoryError);
    expect(() => device().empty('f32', [elements])).toThrow(/largest is/);
    expect(() => device().empty('f32', [2 ** 40, 2 ** 40])).toThrow(ShapeError);
    expect(device().memory.liveBytes).toBe(before);
  });
});
