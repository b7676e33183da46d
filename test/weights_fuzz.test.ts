/** Thousands of damaged files: each is either read or refused in one line that starts with the file's name. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { CheckpointError, MemorySource, openCheckpoint } from '../weights/index.js';
import { PickleStream } from '../weights/pickle.js';
import {
  bytesOf,
  formatFixture,
  pickled,
  pickledCall,
  pickledDictionary,
  pickledTensor,
  pickleOf,
  torchZip,
} from './support/weights_files.js';

/** Mulberry32: a small seeded generator, so that a failure can be repeated. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Flips, overwrites, deletes, repeats or cuts; half of the time within the first bytes, where the structure is. */
function damaged(file: Uint8Array, random: () => number): Uint8Array {
  const within = (limit: number) => Math.floor(random() * limit);
  const spot = () => within(random() < 0.5 ? Math.min(file.length, 400) : file.length);
  const bytes = Buffer.from(file);
  const kind = within(6);
  if (kind === 0) return bytes.subarray(0, spot());
  if (kind === 1) {
    const at = spot();
    return bytesOf(bytes.subarray(0, at), bytes.subarray(at + 1 + within(16)));
  }
  if (kind === 2) {
    const at = spot();
    return bytesOf(bytes.subarray(0, at + within(64)), bytes.subarray(at));
  }
  if (kind === 3) bytes.fill(random() < 0.5 ? 0xff : 0, spot(), spot());
  const changes = 1 + within(4);
  for (let i = 0; i < changes; i++) {
    if (random() < 0.5) bytes[spot()]! ^= 1 << within(8);
    else bytes[spot()] = within(256);
  }
  return bytes;
}

/** Opens the file and reads all its tensors. Returns whether that succeeded. */
async function attempt(bytes: Uint8Array): Promise<boolean> {
  try {
    const checkpoint = await openCheckpoint(new MemorySource(bytes, 'fuzz.bin'));
    for (const { name, byteLength } of checkpoint.tensors.values()) {
      if (byteLength > bytes.length * 8) throw new Error(`${name} claims ${byteLength} bytes`);
      await checkpoint.readF32(name);
    }
    return true;
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    if (!/^fuzz\.bin: [^\n\r]+$/.test(error.message)) throw new Error('message', { cause: error });
    return false;
  }
}

const small = torchZip(
  pickleOf(
    pickledDictionary({
      state_dict: pickledDictionary({ w: pickledTensor('0', 4, 0, [2, 2], [1, 2]) }),
      hyper_parameters: pickledDictionary({
        path: pickledCall('pathlib', 'PosixPath', 'a'),
        list: pickled([1, null]),
      }),
    }),
  ),
  { 0: new Uint8Array(16) },
);
const files: [string, Uint8Array, number][] = [
  ['a small zip checkpoint', small, 1500],
  ['odd_tensors.pt', readFileSync(formatFixture('odd_tensors.pt')), 1000],
  ['odd_tensors_legacy.pt', readFileSync(formatFixture('odd_tensors_legacy.pt')), 1500],
  ['safetensors', readFileSync(formatFixture('OpenCLIP-tiny.as_loaded.safetensors')), 600],
  ['TorchScript', readFileSync(formatFixture('clip_openai_jit_cuda.pt')), 150],
];

const unhandled: unknown[] = [];
const keep = (reason: unknown): void => void unhandled.push(reason);

beforeAll(() => {
  process.on('unhandledRejection', keep);
});

afterAll(() => {
  process.off('unhandledRejection', keep);
  expect(unhandled).toEqual([]);
});

describe('damaged files', () => {
  test.each(files)('%s', async (_name, file, rounds) => {
    expect(await attempt(file)).toBe(true);
    const random = generator(20240613 + rounds);
    let slowest = 0;
    let read = 0;
    for (let round = 0; round < rounds; round++) {
      const started = performance.now();
      if (await attempt(damaged(file, random))) read++;
      slowest = Math.max(slowest, performance.now() - started);
    }
    expect(slowest).toBeLessThan(5000);
    // Both outcomes must occur, or the damage does not reach what it is to test.
    expect(read).toBeGreaterThan(0);
    expect(read).toBeLessThan(rounds);
  });

  test('damaged pickles by themselves, where every byte counts', () => {
    const pickle = pickleOf(
      pickledDictionary({
        tensor: pickledTensor('0', 4, 0, [2, 2], [2, 1]),
        scheduler: bytesOf(
          'ctorch.optim.lr_scheduler\nOneCycleLR\n)',
          0x81,
          '}(',
          pickled('step'),
          pickled(3),
          'ub',
        ),
        list: bytesOf('](', pickled(1), pickled('two'), 'e'),
        set: bytesOf(0x8f, '(', pickled(1), 0x90),
        long: bytesOf(0x8a, 3, 1, 2, 0xff),
        text: bytesOf(0x8c, 2, 'ab', 0x94, 'h', 0),
      }),
    );
    const random = generator(7);
    for (let round = 0; round < 4000; round++) {
      try {
        new PickleStream('fuzz.bin', damaged(pickle, random), 0).next(round % 2 === 0);
      } catch (error) {
        if (!/^fuzz\.bin: pickle opcode \w+ at byte \d+ [^\n\r]+$/.test((error as Error).message))
          throw error;
      }
    }
  });
});
