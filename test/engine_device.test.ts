import { describe, expect, test } from '@jest/globals';
import {
  AdapterError,
  type Device,
  DeviceLostError,
  type Tensor,
  ValidationError,
  add,
  linear,
  listAdapters,
  openDevice,
  relu,
  softmax,
  matmul,
  copyInto,
  concat,
} from '../engine/index.js';
import { type Launch, type Operand, launchUnary } from '../kernels/index.js';
import { runChild } from './support/child_script.js';
import { useDevice } from './support/device.js';
import { Random, expectClose } from './support/numbers.js';

async function withDevice(work: (device: Device) => Promise<void>): Promise<void> {
  const device = await openDevice({ device: 'software' });
  try {
    await work(device);
  } finally {
    device.close();
  }
}

const ones = (device: Device, shape: [number, number]): Tensor =>
  device.tensor(new Float32Array(shape[0] * shape[1]).fill(1), shape);

describe('adapters', () => {
  test('are listed with real ones first and opened by index, part of a name or kind', async () => {
    const adapters = await listAdapters();
    const software = adapters.find((adapter) => adapter.software)!;
    expect(adapters.map(({ index }) => index)).toEqual(adapters.map((_, i) => i));
    for (const wanted of ['software', `${software.index}`, software.name.slice(1, 8).toUpperCase()]) {
      const device = await openDevice({ device: wanted });
      expect(device.adapter.name).toBe(software.name);
      device.close();
    }
  });

  test.each(['no such adapter', '99'])('"%s" is refused with a list of what there is', async (wanted) => {
    const [first] = await listAdapters();
    const opening = openDevice({ device: wanted });
    await expect(opening).rejects.toThrow(AdapterError);
    await expect(opening).rejects.toThrow(`"${wanted}"`);
    await expect(opening).rejects.toThrow(`0: ${first!.name}`);
  });
});

test('a device that is no text is refused', async () => {
  await expect(openDevice({ device: 3 as never })).rejects.toThrow(
    /^device is 3; expected a text: an index as "0"/,
  );
});

describe('waiting for the device', () => {
  test('asks now and then, not at every turn of the event loop, and leaves setImmediate as it was', async () => {
    const polling = new URL('../engine/patient_polling.js', import.meta.url).href;
    const { code, output } = await runChild(`
      import { promisify } from 'node:util';
      let turns = 0;
      const own = globalThis.setImmediate;
      const counting = (...args) => { turns++; return own(...args); };
      globalThis.setImmediate = Object.assign(counting, { [promisify.custom]: own[promisify.custom] });
      const device = await engine.openDevice({ device: 'software' });
      const x = device.tensor(new Float32Array(1 << 20).fill(1), [1024, 1024]);
      device.scope(() => engine.matmul(x, x));
      await device.finish();
      const { sleptMs } = await import(${JSON.stringify(polling)});
      let asked = 0;
      let waitedMs = 0;
      let slept = 0;
      for (let products = 1; waitedMs < 100; products *= 2) {
        device.scope(() => { for (let i = 0; i < products; i++) engine.matmul(x, x); });
        turns = 0;
        const [start, sleptBefore] = [performance.now(), sleptMs()];
        await device.finish();
        waitedMs = performance.now() - start;
        slept = sleptMs() - sleptBefore;
        asked = turns;
      }
      turns = 0;
      const order = [];
      setImmediate((...given) => order.push(...given), 'a', 'b');
      clearImmediate(setImmediate(() => order.push('cleared')));
      const bound = order.push.bind(order, 'bound');
      setImmediate(bound);
      setImmediate(new Proxy(function () {}, { apply: (_, __, given) => order.push(...given) }), 'proxied');
      await new Promise((resolve) => setImmediate(resolve));
      order.push(await promisify(setImmediate)('promised'));
      console.log(JSON.stringify({ asked, slept, turns, order }));
      device.close();
    `);
    expect([code, output]).toEqual([0, expect.stringMatching(/^\{/)]);
    const { asked, slept, turns, order } = JSON.parse(output) as {
      asked: number;
      slept: number;
      turns: number;
      order: string[];
    };
    expect(order).toEqual(['a', 'b', 'bound', 'proxied', 'promised']);
    expect(turns).toBe(5);
    // At every turn of 100 ms it would be asked thousands of times.
    const onWindows = process.platform === 'win32';
    expect(asked).toBeLessThan(onWindows ? 1000 : 500);
    // In the first 30 ms, but for the questions.
    expect(slept > 5).toBe(!onWindows);
    expect(slept).toBeLessThan(60);
  });
});

describe('a steady workload', () => {
  const device = useDevice({ device: 'software' });

  test('of 200 forward passes leaves memory, programs and bind groups flat', async () => {
    const random = new Random(3);
    const weights = [
      device().tensor(random.floats(32 * 48), [32, 48]),
      device().tensor(random.floats(8 * 32), [8, 32]),
    ];
    const input = device().tensor(random.floats(5 * 48), [5, 48]);
    const forward = (): Tensor =>
      device().scope(() => softmax(linear(relu(linear(input, weights[0]!)), weights[1]!)));
    const first = forward();
    const expected = await first.read();
    first.dispose();
    const state = () => {
      const { liveBytes, pooledBytes, buffers } = device().memory;
      const { programCount, bindGroupCount } = device();
      return { liveBytes, pooledBytes, buffers, programCount, bindGroupCount };
    };
    // The second pass finds its buffers in the pool.
    forward().dispose();
    await device().finish();
    const settled = state();
    device().resetStatistics();
    for (let i = 0; i < 200; i++) {
      const result = forward();
      if (i % 50 === 49) expect([...(await result.read())]).toEqual([...expected]);
      result.dispose();
    }
    await device().finish();
    expect(state()).toEqual(settled);
    expect(device().counts).toMatchObject({ dispatches: 800, submits: 16, readBacks: 4, uploads: 0 });
  });

  test('binds nothing anew where buffers of one size come back in another order', async () => {
    const one = ones(device(), [1, 4]);
    const pass = (): Promise<unknown> =>
      device().scope(() => {
        const sums = [one];
        for (let i = 1; i < 5; i++) sums.push(add(sums.at(-1)!, one));
        // As saved for a backward pass: freed neither as they were made nor the other way round.
        for (const at of [3, 1, 4]) sums[at]!.dispose();
        return sums[2]!.read();
      });
    await pass();
    await pass();
    const { bindGroupCount } = device();
    for (let i = 0; i < 5; i++) expect(await pass()).toEqual(Float32Array.of(3, 3, 3, 3));
    expect(device().bindGroupCount).toBe(bindGroupCount);
  });

  test('submits some dispatches while the next are recorded', async () => {
    const one = ones(device(), [1, 4]);
    let x = one;
    device().resetStatistics();
    for (let i = 0; i < 3000; i++) x = device().scope(() => add(x, one));
    expect([...(await x.read())]).toEqual([3001, 3001, 3001, 3001]);
    expect(device().counts).toMatchObject({ dispatches: 3000, submits: Math.ceil(3000 / 64) });
  });
});

describe('compiling beforehand', () => {
  const device = useDevice({ device: 'software' });

  test('does none of the work, and leaves nothing to compile when it is done', () =>
    device().scope(async () => {
      const x = ones(device(), [3, 5]);
      const target = ones(device(), [3, 5]);
      await x.read();
      const work = (): void => {
        const bias = device().tensor(Float32Array.of(1, 2, 3, 4, 5), [5]);
        copyInto(softmax(add(linear(x, ones(device(), [5, 5])), bias)), target);
      };
      const before = { memory: device().memory.liveBytes, counts: device().counts };
      await device().compile(work);
      expect({ memory: device().memory.liveBytes, counts: device().counts }).toEqual(before);
      expect([...(await target.read())]).toEqual(new Array(15).fill(1));
      const { programCount } = device();
      expect(programCount).toBeGreaterThanOrEqual(4);
      work();
      expect([...(await target.read())][0]).toBeCloseTo(0.0117, 4);
      expect(device().programCount).toBe(programCount);
      // What is compiled already is not compiled again, nor twice at once.
      await Promise.all([device().compile(work), device().compile(work)]);
      expect(device().programCount).toBe(programCount);
    }));

  test('tells what work would take of memory, as doing it does', () =>
    device().scope(() => {
      const x = ones(device(), [300, 50]);
      const work = (): void => device().scope(() => void softmax(add(x, x)));
      const peakOf = (does: () => void): number => {
        device().resetStatistics();
        does();
        return device().memory.peakBytes - device().memory.liveBytes;
      };
      const { counts } = device();
      const rehearsed = peakOf(() => device().rehearse(work));
      expect(device().counts).toEqual({
        ...counts,
        dispatches: 0,
        submits: 0,
        uploads: 0,
        readBacks: 0,
        flops: 0,
      });
      expect(rehearsed).toBeGreaterThanOrEqual(2 * 4 * 300 * 50);
      expect(peakOf(work)).toBe(rehearsed);
    }));

  test('refuses what needs results', () =>
    device().scope(async () => {
      const x = ones(device(), [2, 2]);
      let read: Promise<unknown> | undefined;
      await device().compile(() => {
        read = x.read();
      });
      await expect(read).rejects.toThrow(/read: cannot be part of work that is only rehearsed/);
      const waiting = (): void => Promise.resolve() as unknown as void;
      await expect(device().compile(waiting)).rejects.toThrow(/compile: the work cannot wait for anything/);
      await expect(
        device().compile(
          () =>
            void device()
              .newRecording()
              .run(0, () => {}),
        ),
      ).rejects.toThrow(/record: cannot be part/);
    }));

  test('keeps quiet about a kernel that does not compile, until it is needed', () =>
    withDevice(async (own) => {
      const x = ones(own, [2, 2]);
      const broken = (): void =>
        own.dispatch(
          ([from, to]) => ({
            ...launchUnary('exp', from!, to!, own.traits),
            defines: { ...launchUnary('exp', from!, to!, own.traits).defines, EXPRESSION: 'no_function(x)' },
          }),
          [x, own.empty('f32', [2, 2])],
          () => 'broken work',
        );
      await own.compile(broken);
      await own.finish();
      broken();
      await expect(own.finish()).rejects.toThrow(/broken work: kernel exp/);
    }));
});

describe('errors', () => {
  test('a kernel that does not compile is named; the device works on', () =>
    withDevice(async (device) => {
      const x = ones(device, [2, 2]);
      const result = device.empty('f32', [2, 2]);
      const launch = launchUnary('exp', { ...x }, { ...result }, device.traits);
      device.dispatch(
        ([from, to]) => ({
          ...launchUnary('exp', from!, to!, device.traits),
          kernel: 'broken',
          defines: { ...launch.defines, EXPRESSION: 'no_such_function(x)' },
        }),
        [x, result],
        () => 'broken',
      );
      const reading = result.read();
      await expect(reading).rejects.toThrow(ValidationError);
      await expect(reading).rejects.toThrow(/broken .*no_such_function/s);
      expect([...(await relu(x).read())]).toEqual([1, 1, 1, 1]);
    }));

  test('a fault is thrown once, with its cause, however often it is repeated', async () => {
    await withDevice(async (device) => {
      const x = device.tensor(Float32Array.of(-1, 2), [2]);
      for (let attempt = 0; attempt < 2; attempt++) {
        const broken = device.empty('f32', [2]);
        const build = ([from, to]: readonly Operand[]): Launch => {
          const launch = launchUnary('relu', from!, to!, device.traits);
          return { ...launch, defines: { ...launch.defines, EXPRESSION: 'no_such_function(x)' } };
        };
        device.dispatch(build, [x, broken], () => 'broken(f32[2])');
        await expect(device.finish()).rejects.toThrow(/^broken\(f32\[2\]\): kernel relu .*no_such_function/s);
        expect([...(await relu(x).read())]).toEqual([0, 2]);
      }
    });
  });

  test('sizes that never come back do not pile up in the pool', async () => {
    await withDevice(async (device) => {
      for (let size = 1; size <= 200; size++) device.empty('f32', [size * 30_000]).dispose();
      expect(device.memory.pooledBytes).toBeLessThan(200e6);
    });
  });

  test('operands of two devices are refused', () =>
    withDevice(async (first) =>
      withDevice(async (second) => {
        const [x, foreign] = [ones(first, [2, 2]), ones(second, [2, 2])];
        const message = /f32\[[12,]+\] lies on another device; read it and make a tensor here$/;
        expect(() => add(x, foreign)).toThrow(message);
        expect(() => matmul(x, x, { into: foreign })).toThrow(message);
        expect(() => copyInto(x, foreign)).toThrow(message);
        expect(() => concat([x, foreign], 0)).toThrow(message);
        expect(() => first.write(foreign, new Float32Array(4))).toThrow(message);
        await expect(first.readAll([x, foreign])).rejects.toThrow(message);
        // Nothing of it is left over for calls that are right.
        expect([...(await add(x, x).read())]).toEqual([2, 2, 2, 2]);
        expect([...(await add(foreign, foreign).read())]).toEqual([2, 2, 2, 2]);
      }),
    ));

  test('a lost device says so in pending reads and in every later call', () =>
    withDevice(async (device) => {
      const x = ones(device, [2, 2]);
      const pending = relu(x).read();
      device.gpu.destroy();
      await expect(pending).rejects.toThrow(DeviceLostError);
      expect(() => relu(x)).toThrow(DeviceLostError);
      expect(() => device.empty('f32', [1])).toThrow(DeviceLostError);
      await expect(x.read()).rejects.toThrow(DeviceLostError);
      await expect(device.finish()).rejects.toThrow(DeviceLostError);
      x.dispose();
    }));

  test('a closed device refuses work at once; disposing and closing again are fine', async () => {
    const device = await openDevice({ device: 'software' });
    const x = ones(device, [2, 2]);
    const pending = x.read();
    device.close();
    expect(() => relu(x)).toThrow(/closed/);
    expect(() => device.write(x, Float32Array.of(1))).toThrow(DeviceLostError);
    await expect(pending).rejects.toThrow(DeviceLostError);
    await expect(device.finish()).rejects.toThrow(DeviceLostError);
    x.dispose();
    device.close();
  });
});

describe('the life of a process', () => {
  test('many devices are opened and closed in one', async () => {
    const outcome = await runChild(`
      for (let i = 0; i < 12; i++) {
        const device = await engine.openDevice({ device: 'software' });
        const x = device.tensor(Float32Array.of(i, -i), [2]);
        const [value] = await engine.relu(x).read();
        if (value !== i) throw new Error('wrong ' + value);
        device.close();
      }
      console.log('done');
    `);
    expect(outcome).toEqual({ code: 0, signal: null, output: 'done\n' });
  });

  test('survives garbage collection under load and ends by itself', async () => {
    const code = `
      const device = await engine.openDevice({ device: 'software' });
      const collector = setInterval(() => gc(), 1);
      const weight = device.tensor(new Float32Array(64 * 64).fill(0.01), [64, 64]);
      for (let i = 0; i < 300; i++) {
        const result = device.scope(() => {
          let x = device.tensor(new Float32Array(8 * 64).fill(1), [8, 64]);
          for (let layer = 0; layer < 4; layer++) x = engine.gelu(engine.linear(x, weight));
          return x;
        });
        if (i % 10 === 0) gc();
        if (i % 5 === 0) await result.read();
        if (i % 50 === 0) device.trim();
        // Every third result is forgotten without disposal.
        if (i % 3) result.dispose();
      }
      clearInterval(collector);
      device.close();
      gc();
      console.log('done');
    `;
    expect(await runChild(code, ['--expose-gc'])).toEqual({ code: 0, signal: null, output: 'done\n' });
  });

  test('ends without a crash when the device was never closed', async () => {
    const outcome = await runChild(
      `
      const device = await engine.openDevice({ device: 'software' });
      await engine.relu(device.tensor(Float32Array.of(1), [1])).read();
      console.log('done');
    `,
      [],
      20_000,
    );
    expect(outcome).toEqual({ code: 0, signal: null, output: 'done\n' });
  });

  test('ends when work is recorded or pending at close', async () => {
    const outcome = await runChild(`
      const device = await engine.openDevice({ device: 'software' });
      const x = device.tensor(new Float32Array(1 << 20), [1 << 20]);
      const pending = engine.exp(x).read().catch((error) => console.log(error.name));
      engine.relu(x);
      device.close();
      await pending;
    `);
    expect(outcome).toEqual({ code: 0, signal: null, output: 'DeviceLostError\n' });
  });
});

describe('results', () => {
  test('do not depend on what else was recorded', () =>
    withDevice(async (device) => {
      const x = device.tensor(new Random(1).floats(12), [3, 4]);
      const alone = await softmax(x).read();
      const busy = Array.from({ length: 20 }, () => softmax(relu(x)));
      const again = softmax(x);
      busy.forEach((tensor) => tensor.dispose());
      expectClose(await again.read(), alone, 0);
    }));
});
