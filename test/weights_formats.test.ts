/** Every container format against the reference files written by PyTorch. */
import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import {
  BlobSource,
  MemorySource,
  openCheckpoint,
  openCheckpointSource,
  type Checkpoint,
} from '../weights/index.js';
import { PickleStream } from '../weights/pickle.js';
import { PickledTensor } from '../weights/pickle_values.js';
import { readZipDirectory } from '../weights/zip_directory.js';
import { formatFixture, plainSafetensors, plainValues, type PlainTensor } from './support/weights_files.js';

interface Expected {
  hyper_parameters: Record<string, unknown>;
  jit_dtypes: Record<string, string>;
  state_dict_keys: string[];
}
interface OddTensor {
  dtype: string;
  shape: number[];
  values: number[];
}

const expected = JSON.parse(readFileSync(formatFixture('formats.json'), 'utf8')) as Expected;
const DTYPES: Record<string, string> = {
  float64: 'f64',
  float32: 'f32',
  float16: 'f16',
  bfloat16: 'bf16',
  int64: 'i64',
  int32: 'i32',
  uint8: 'u8',
  bool: 'bool',
};

async function expectTensors(checkpoint: Checkpoint, truth: ReadonlyMap<string, PlainTensor>): Promise<void> {
  expect([...checkpoint.tensors.keys()].sort()).toEqual([...truth.keys()].sort());
  for (const [name, tensor] of truth) {
    expect(checkpoint.tensors.get(name)?.shape).toEqual(tensor.shape);
    const values = await checkpoint.readF32(name);
    expect(Buffer.compare(asBytes(values), asBytes(Float32Array.from(plainValues(tensor))))).toBe(0);
  }
}

function asBytes(values: { buffer: ArrayBufferLike; byteOffset: number; byteLength: number }): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}

describe('CLIP4STR in every container', () => {
  const truth = plainSafetensors(formatFixture('clip4str_tiny.safetensors'));
  test.each([
    ['clip4str_tiny.safetensors', 'safetensors'],
    ['clip4str_tiny.pt', 'pytorch'],
    ['clip4str_tiny_legacy.pt', 'pytorch-legacy'],
    ['clip4str_tiny.ckpt', 'pytorch'],
  ])('%s holds the same tensors', async (file, format) => {
    const checkpoint = await openCheckpoint(formatFixture(file));
    expect(checkpoint.format).toBe(format);
    expect([...checkpoint.tensors.keys()].sort()).toEqual([...expected.state_dict_keys].sort());
    await expectTensors(checkpoint, truth);
    await checkpoint.close();
  });

  test('the Lightning checkpoint gives its hyper-parameters as plain values', async () => {
    const checkpoint = await openCheckpoint(formatFixture('clip4str_tiny.ckpt'));
    expect(checkpoint.configuration).toEqual(expected.hyper_parameters);
    await checkpoint.close();
  });

  test('the format is known by content, not by name', async () => {
    const bytes = readFileSync(formatFixture('clip4str_tiny_legacy.pt'));
    const checkpoint = await openCheckpointSource(new MemorySource(bytes, 'picture.jpeg'));
    expect(checkpoint.format).toBe('pytorch-legacy');
    await expectTensors(checkpoint, truth);
  });

  test('a Blob is read as a file is', async () => {
    const bytes = readFileSync(formatFixture('clip4str_tiny.safetensors'));
    await expectTensors(await openCheckpoint(new BlobSource(new Blob([bytes]), 'chosen.safetensors')), truth);
  });
});

describe('CLIP', () => {
  test("OpenAI's TorchScript archive keeps its kinds and values", async () => {
    const checkpoint = await openCheckpoint(formatFixture('clip_openai_jit_cuda.pt'));
    expect(checkpoint.format).toBe('torchscript');
    const dtypes = Object.entries(expected.jit_dtypes).map(([name, dtype]) => [name, DTYPES[dtype]]);
    expect(Object.fromEntries([...checkpoint.tensors].map(([name, { dtype }]) => [name, dtype]))).toEqual(
      Object.fromEntries(dtypes),
    );
    const truth = plainSafetensors(formatFixture('clip_openai_jit.raw.safetensors'));
    await expectTensors(checkpoint, truth);
    for (const [name, tensor] of truth) {
      expect(Buffer.compare(asBytes(await checkpoint.read(name)), Buffer.from(tensor.bytes))).toBe(0);
    }
    await checkpoint.close();
  });

  test('a state dict under the key "model" is found', async () => {
    const wrapped = await openCheckpoint(formatFixture('clip_wrapped_model_key.pt'));
    const half = plainSafetensors(formatFixture('clip_openai_jit.raw.safetensors'));
    expect(wrapped.tensors.size).toBe(38);
    for (const [name, tensor] of wrapped.tensors) {
      expect(tensor.dtype).toBe('f16');
      expect(tensor.shape).toEqual(half.get(name)?.shape);
    }
    // What the archive stores in half precision is the same there.
    const projection = await wrapped.readF32('visual.proj');
    expect([...projection]).toEqual(plainValues(half.get('visual.proj')!));
    await wrapped.close();
  });
});

describe('views, shared storages and every kind of number', () => {
  const { nested, ...tensors } = JSON.parse(
    readFileSync(formatFixture('odd_tensors.json'), 'utf8'),
  ) as Record<string, OddTensor> & { nested: unknown };

  test.each(['odd_tensors.pt', 'odd_tensors_legacy.pt'])('%s', async (file) => {
    const checkpoint = await openCheckpoint(formatFixture(file));
    expect([...checkpoint.tensors.keys()].sort()).toEqual(Object.keys(tensors).sort());
    for (const [name, { dtype, shape, values }] of Object.entries(tensors)) {
      expect(checkpoint.tensors.get(name)).toMatchObject({ dtype: DTYPES[dtype], shape });
      expect(Array.from(await checkpoint.readF32(name))).toEqual(values.map(Math.fround));
      expect((await checkpoint.read(name)).length).toBe(values.length);
      const chunked: number[] = [];
      for await (const chunk of checkpoint.readChunks(name, 28)) {
        expect(chunk.elementOffset).toBe(chunked.length);
        expect(chunk.values.length).toBeLessThanOrEqual(7);
        chunked.push(...chunk.values);
      }
      expect(chunked).toEqual(values.map(Math.fround));
    }
    await checkpoint.close();
  });

  test('nested containers: list, tuple, None, bool, text, float, negative and long integers', async () => {
    expect(nested).toContain('tensor([7.]), (tensor(8), None, True, "text", 1.25, -7, 1099511627776)');
    const source = new MemorySource(readFileSync(formatFixture('odd_tensors.pt')), 'odd_tensors.pt');
    const member = (await readZipDirectory(source)).get('odd_tensors/data.pkl')!;
    const pickle = await source.read(member.offset, member.size);
    const root = new PickleStream('odd_tensors.pt', pickle, 0).next() as Map<string, Map<string, unknown[]>>;
    const [tensor, tuple] = root.get('nested')!.get('a') as [PickledTensor, unknown[]];
    expect(tensor.shape).toEqual([1]);
    expect(tuple[0]).toBeInstanceOf(PickledTensor);
    expect(tuple.slice(1)).toEqual([null, true, 'text', 1.25, -7, 1099511627776]);
  });
});

test('reading what is not there names the file and the tensor', async () => {
  const checkpoint = await openCheckpoint(formatFixture('odd_tensors.pt'));
  await expect(checkpoint.read('missing')).rejects.toThrow('odd_tensors.pt: has no tensor missing');
  await checkpoint.close();
});
