/** Work that is recorded once and repeated. */
import { describe, expect, test } from '@jest/globals';
import {
  DisposedError,
  EngineError,
  type Recording,
  type Tensor,
  add,
  backward,
  copyInto,
  linear,
  multiply,
  openDevice,
  scale,
  softmax,
} from '../engine/index.js';
import { useDevice } from './support/device.js';
import { Random } from './support/numbers.js';

const device = useDevice({ device: 'software' });

interface Layers {
  readonly weights: readonly Tensor[];
  readonly input: Tensor;
  readonly output: Tensor;
}

function layers(): Layers {
  const random = new Random(7);
  return {
    weights: [
      device().tensor(random.floats(20 * 12), [20, 12]),
      device().tensor(random.floats(12 * 20), [12, 20]),
    ],
    input: device().tensor(random.floats(3 * 12), [3, 12]),
    output: device().empty('f32', [3, 12]),
  };
}

function compute({ weights, input, output }: Layers): void {
  const hidden = softmax(linear(input, weights[0]!, { activation: 'gelu' }));
  linear(hidden, weights[1]!, { into: output });
}

const valuesOf = async (tensor: Tensor): Promise<number[]> => [...(await tensor.read())];

async function withRecording(work: (recording: Recording) => Promise<void>, on = device()): Promise<void> {
  const recording = on.newRecording();
  try {
    await work(recording);
  } finally {
    recording.dispose();
  }
}

describe('a recording', () => {
  test('repeats its parts on what their tensors hold, as if they were run again', () =>
    device().scope(() =>
      withRecording(async (recording) => {
        const own = layers();
        const random = new Random(8);
        let runs = 0;
        for (let round = 0; round < 4; round++) {
          const values = random.floats(3 * 12);
          device().write(own.input, values);
          if (round === 2) device().write(own.weights[0]!, random.floats(20 * 12));
          device().resetStatistics();
          recording.run(0, () => {
            runs++;
            compute(own);
          });
          const { dispatches, flops } = device().counts;
          const repeated = await valuesOf(own.output);
          // Other work in between takes other memory.
          device().resetStatistics();
          compute(own);
          expect(device().counts).toMatchObject({ dispatches, flops });
          expect(await valuesOf(own.output)).toEqual(repeated);
        }
        expect(runs).toBe(1);
      }),
    ));

  test('keeps its intermediate results apart from other work that is recorded between its parts', () =>
    device().scope(() =>
      withRecording(async (recording) => {
        const own = layers();
        const kept = device().empty('f32', [3, 20]);
        const first = (): void => copyInto(linear(own.input, own.weights[0]!), kept);
        const second = (): void => {
          linear(kept, own.weights[1]!, { into: own.output });
        };
        const round = (): void => {
          recording.run(1, first);
          for (let i = 0; i < 5; i++) scale(own.input, i).dispose();
          recording.run(2, second);
        };
        round();
        const expected = await valuesOf(own.output);
        const { liveBytes, buffers } = device().memory;
        for (let i = 0; i < 3; i++) round();
        expect(await valuesOf(own.output)).toEqual(expected);
        expect(device().memory).toMatchObject({ liveBytes, buffers });
      }),
    ));

  test('of more dispatches than a submit takes is repeated in order', () =>
    device().scope(() =>
      withRecording(async (recording) => {
        const total = device().tensor(Float32Array.of(0), [1]);
        const one = device().tensor(Float32Array.of(1), [1]);
        const count = (): void => {
          for (let i = 0; i < 1500; i++) device().scope(() => copyInto(add(total, one), total));
        };
        for (let round = 1; round <= 3; round++) {
          recording.run(0, count);
          expect(await valuesOf(total)).toEqual([1500 * round]);
        }
      }),
    ));

  test('keeps the memory it uses until it is disposed, and gives all of it back then', async () => {
    const before = device().memory.liveBytes;
    const own = layers();
    const recording = device().newRecording();
    recording.run(0, () => compute(own));
    expect(recording.bytes).toBeGreaterThan(0);
    const expected = await valuesOf(own.output);
    own.weights.forEach((weight) => weight.dispose());
    // Would take the place of the weights.
    const others = own.weights.map(({ shape }) => device().tensor(new Float32Array(240).fill(9), shape));
    device().trim();
    recording.run(0, () => compute(own));
    expect(await valuesOf(own.output)).toEqual(expected);
    recording.dispose();
    [...others, own.input, own.output].forEach((tensor) => tensor.dispose());
    expect(device().memory.liveBytes).toBe(before);
  });

  test('lets gradients know what it overwrites', () =>
    device().scope(() =>
      withRecording(async (recording) => {
        const [x, y] = [device().tensor(Float32Array.of(2), [1]), device().tensor(Float32Array.of(3), [1])];
        const overwrite = (): void => copyInto(scale(y, 2), x);
        recording.run(0, overwrite);
        const weight = device().tensor(Float32Array.of(1), [1]).requireGradient();
        const product = multiply(weight, x);
        recording.run(0, overwrite);
        let error: unknown;
        try {
          backward(product);
          await weight.gradient!.read();
        } catch (thrown) {
          error = thrown;
        }
        expect(error).toBeInstanceOf(EngineError);
        expect(String(error)).toMatch(/which the gradients of multiply need, was written to/);
      }),
    ));

  test('refuses what would not come again', () =>
    device().scope(() =>
      withRecording(async (recording) => {
        const x = device().tensor(Float32Array.of(2), [1]);
        const refused = (work: () => void): void =>
          expect(() => recording.run(0, work)).toThrow(
            /cannot be part of a recording|cannot wait for anything/,
          );
        refused(() => device().write(x, Float32Array.of(1)));
        refused(() => device().tensor(Float32Array.of(1), [1]));
        refused(() => recording.run(1, () => {}));
        // A part that is known would be done now, and not come again.
        recording.run(7, () => copyInto(scale(x, 1), x));
        refused(() => recording.run(7, () => {}));
        await expect(device().compile(() => recording.run(7, () => {}))).rejects.toThrow(
          /repeat: cannot be part/,
        );
        // A callback that returns a promise passes for one that returns nothing.
        refused(() => Promise.resolve() as unknown as void);
        await expect(async () => {
          let read: Promise<unknown> | undefined;
          recording.run(0, () => {
            read = x.read();
          });
          await read;
        }).rejects.toThrow(/read: cannot be part of a recording/);
        expect(await valuesOf(x)).toEqual([2]);
      }),
    ));

  test('is not used after it was disposed', () => {
    const recording = device().newRecording();
    recording.dispose();
    recording.dispose();
    expect(() => recording.run(0, () => {})).toThrow(DisposedError);
  });

  test('is not usable once something went wrong, or other variants were chosen', async () => {
    const own = await openDevice({ device: 'software' });
    try {
      const recordings = [own.newRecording(), own.newRecording()];
      expect(recordings.map(({ usable }) => usable)).toEqual([true, true]);
      const { adapter, info } = own;
      own.tune({ kind: 'tuning', adapter: adapter.name, driver: info.description, choices: {} });
      expect(recordings.map(({ usable }) => usable)).toEqual([false, false]);
      const later = own.newRecording();
      expect(later.usable).toBe(true);
      own.gpu.createBuffer({ size: 4, usage: 0xffff });
      await expect(own.finish()).rejects.toThrow();
      expect(later.usable).toBe(false);
    } finally {
      own.close();
    }
  });
});
