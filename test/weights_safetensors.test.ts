/** Safetensors: what is refused and how, shards, kinds of numbers, and the writer. */
import { describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { lstat, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  f32FromHalf,
  halfBits,
  MemorySource,
  checkpointFiles,
  openCheckpoint,
  writeSafetensors,
  type WritableTensor,
} from '../weights/index.js';
import {
  formatFixture,
  halfValue,
  messageOf,
  plainSafetensors,
  plainValues,
  safetensorsBytes,
  withFolder,
} from './support/weights_files.js';

const open = (bytes: Uint8Array) => openCheckpoint(new MemorySource(bytes, 'x.safetensors'));
const f32 = (begin: number, end: number, shape: unknown) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});

describe('reading', () => {
  test('every kind of number', async () => {
    const data = new Uint8Array(64);
    const view = new DataView(data.buffer);
    view.setFloat64(0, -1.5, true);
    view.setBigInt64(8, -(2n ** 40n), true);
    view.setBigUint64(16, 2n ** 63n, true);
    view.setFloat32(24, 0.1, true);
    view.setInt32(28, -70000, true);
    view.setUint32(32, 4e9, true);
    view.setUint16(36, 0x3555, true); // half 0.333251953125
    view.setUint16(38, 0xc02a, true); // brain float -2.65625
    view.setInt16(40, -300, true);
    view.setUint16(42, 60000, true);
    data.set([0x80, 200, 1], 44);
    const kinds = ['F64', 'I64', 'U64', 'F32', 'I32', 'U32', 'F16', 'BF16', 'I16', 'U16', 'I8', 'U8', 'BOOL'];
    const sizes = [8, 8, 8, 4, 4, 4, 2, 2, 2, 2, 1, 1, 1];
    let at = 0;
    const header = Object.fromEntries(
      kinds.map((dtype, i) => [dtype, { dtype, shape: [1], data_offsets: [at, (at += sizes[i]!)] }]),
    );
    const file = safetensorsBytes(header, at);
    file.set(data.subarray(0, at), file.length - at);
    const checkpoint = await open(file);
    const values = await Promise.all(kinds.map(async (kind) => (await checkpoint.readF32(kind))[0]));
    expect(values).toEqual([
      -1.5,
      -(2 ** 40),
      2 ** 63,
      Math.fround(0.1),
      -70000,
      4e9,
      0.333251953125,
      -2.65625,
      -300,
      60000,
      -128,
      200,
      1,
    ]);
    expect(await checkpoint.read('I64')).toEqual(BigInt64Array.of(-(2n ** 40n)));
    expect(await checkpoint.read('F16')).toEqual(Uint16Array.of(0x3555));
  });

  test('metadata is parsed where it is JSON, kept where it is not', async () => {
    const metadata = {
      img_size: '[32, 128]',
      charset: '"0123"',
      format: 'pt',
      flag: 'true',
      __proto__x: '{}',
    };
    const checkpoint = await open(safetensorsBytes({ __metadata__: metadata }, 0));
    expect(checkpoint.configuration).toEqual({
      img_size: [32, 128],
      charset: '0123',
      format: 'pt',
      flag: true,
      __proto__x: {},
    });
  });

  test('scalars, empty tensors and names like those of Object.prototype', async () => {
    const header =
      '{"__proto__":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"constructor":' +
      '{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},"a\\"}:{":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}}';
    const checkpoint = await open(safetensorsBytes(header, 6));
    expect([...checkpoint.tensors.keys()]).toEqual(['__proto__', 'constructor', 'a"}:{']);
    expect((await checkpoint.readF32('constructor')).length).toBe(0);
    expect(await checkpoint.readF32('__proto__')).toEqual(Float32Array.of(0));
  });

  const refused: [string, Uint8Array, string][] = [
    ['an empty file', new Uint8Array(), 'is empty'],
    ['a file of 3 bytes', Uint8Array.of(1, 2, 3), 'is no checkpoint'],
    [
      'a web page',
      new TextEncoder().encode('<!DOCTYPE html><html>'),
      'is no checkpoint: it starts with 3c21444f',
    ],
    [
      'a header of 2^60 bytes',
      safetensorsBytes({}, 0, 2n ** 60n),
      'claims a header of 1152921504606846976 bytes',
    ],
    ['a header longer than the file', safetensorsBytes({}, 4, 7n), 'claims a header of 7 bytes'],
    ['half a JSON', safetensorsBytes('{"a":{"dtype":', 0), 'no valid JSON'],
    ['invalid UTF-8', safetensorsBytes('{"a\u00ff', 0).fill(0xff, 10), 'no valid JSON'],
    ['truncated data', safetensorsBytes({ a: f32(0, 8, [2]) }, 4), 'it is truncated'],
    ['trailing data', safetensorsBytes({ a: f32(0, 8, [2]) }, 12), 'bytes that belong to no tensor'],
    [
      'a gap',
      safetensorsBytes({ a: f32(0, 4, [1]), b: f32(8, 12, [1]) }, 12),
      'leaves a gap of 4 bytes between a and b',
    ],
    ['an overlap', safetensorsBytes({ a: f32(0, 8, [2]), b: f32(4, 12, [2]) }, 12), 'b overlaps a'],
    ['equal ranges', safetensorsBytes({ a: f32(0, 8, [2]), b: f32(0, 8, [2]) }, 8), 'b overlaps a'],
    ['a reversed range', safetensorsBytes({ a: f32(8, 0, [2]) }, 8), 'needs 8 bytes, but has -8'],
    [
      'too few bytes',
      safetensorsBytes({ a: f32(0, 4, [2, 3]) }, 4),
      'a is f32 [2,3] and needs 24 bytes, but has 4',
    ],
    [
      '2^60 elements',
      safetensorsBytes({ a: f32(0, 4, [2 ** 30, 2 ** 30]) }, 4),
      'no valid shape: [1073741824,1073741824]',
    ],
    ['a shape of null', safetensorsBytes({ a: f32(0, 4, null) }, 4), 'no valid shape: null'],
    ['a shape with NaN', safetensorsBytes({ a: f32(0, 4, [NaN]) }, 4), 'no valid shape: [null]'],
    ['a fractional shape', safetensorsBytes({ a: f32(0, 4, [0.5, 2]) }, 4), 'no valid shape'],
    ['a negative shape', safetensorsBytes({ a: f32(0, 4, [-1, -1]) }, 4), 'no valid shape'],
    ['a shape of text', safetensorsBytes({ a: f32(0, 4, ['1']) }, 4), 'no valid shape'],
    ['negative offsets', safetensorsBytes({ a: f32(-4, 0, [1]) }, 4), 'no valid data_offsets: [-4,0]'],
    [
      'offsets of text',
      safetensorsBytes({ a: { ...f32(0, 4, [1]), data_offsets: 'ab' } }, 4),
      'no valid data_offsets',
    ],
    ['no offsets', safetensorsBytes({ a: { dtype: 'F32', shape: [1] } }, 4), 'no valid data_offsets: none'],
    ['an entry that is a number', safetensorsBytes({ a: 3 }, 0), 'a has no valid dtype: none'],
    [
      'an unknown dtype',
      safetensorsBytes({ a: { ...f32(0, 1, [1]), dtype: 'F8_E4M3' } }, 1),
      'dtype F8_E4M3',
    ],
    [
      'a name twice',
      safetensorsBytes(
        '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        1,
      ),
      'names the same tensor twice',
    ],
    [
      'metadata nested without end',
      safetensorsBytes({ __metadata__: { a: '['.repeat(100_000) + ']'.repeat(100_000) } }, 0),
      'has metadata a nested more than 64 deep',
    ],
    [
      'a tensor of a hundred thousand dimensions',
      safetensorsBytes(
        { a: { dtype: 'F32', shape: new Array<number>(100_001).fill(1), data_offsets: [0, 4] } },
        4,
      ),
      'a has 100001 dimensions; at most 64 are read',
    ],
    ['metadata that is a list', safetensorsBytes({ __metadata__: [] }, 0), '__metadata__'],
    [
      'metadata that is a number',
      safetensorsBytes({ __metadata__: { 'a\nb': 1 } }, 0),
      'metadata "a\\nb" that is no string',
    ],
  ];
  test.each(refused)('refuses %s', async (_what, bytes, problem) => {
    const message = await messageOf(() => open(bytes));
    expect(message).toMatch(/^x\.safetensors: [^\n]*$/);
    expect(message).toContain(problem);
  });

  test.each(['dtype', 'shape', 'data_offsets', 'other'])(
    'a deeply nested %s neither overflows nor hangs',
    async (key) => {
      const deep = `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`;
      const entry = { dtype: '"F32"', shape: '[1]', data_offsets: '[0,4]', [key]: deep };
      const fields = Object.entries(entry).map(([field, value]) => `"${field}":${value}`);
      const message = await messageOf(() => open(safetensorsBytes(`{"a":{${fields.join()}}}`, 5)));
      expect(message).toMatch(/^x\.safetensors: [^\n]*$/);
    },
  );
});

describe('files and folders', () => {
  test('problems of the file system are told in one line', async () => {
    await withFolder(async (folder) => {
      expect(await messageOf(() => openCheckpoint(join(folder, 'none.ckpt')))).toBe(
        'none.ckpt: no such file',
      );
      expect(await messageOf(() => openCheckpoint(folder))).toContain(
        'is a folder without a safetensors file',
      );
    });
  });

  test('a folder of a run with one checkpoint, beside which lies what the run goes on from', async () => {
    await withFolder(async (folder) => {
      const bytes = safetensorsBytes(JSON.stringify({ a: f32(0, 4, [1]) }), 4);
      for (const name of ['step-3.safetensors', 'step-3.state.safetensors']) {
        await writeFile(join(folder, name), bytes);
      }
      const checkpoint = await openCheckpoint(folder);
      expect(checkpoint.name).toBe('step-3.safetensors');
      await checkpoint.close();
      await writeFile(join(folder, 'step-6.safetensors'), bytes);
      expect(await messageOf(() => openCheckpoint(folder))).toContain(
        'is a folder with 2 files *.safetensors; name one: step-3.safetensors, step-6.safetensors',
      );
    });
  });

  test('a header whose length looks like the start of JSON', async () => {
    await withFolder(async (folder) => {
      // 0x227b bytes: the file begins with {" and six zeros.
      const header = `${JSON.stringify({ a: f32(0, 4, [1]) }).padEnd(0x227b)}`;
      const path = join(folder, 'odd.safetensors');
      await writeFile(path, safetensorsBytes(header, 4));
      const checkpoint = await openCheckpoint(path);
      expect([...checkpoint.tensors.keys()]).toEqual(['a']);
      await checkpoint.close();
    });
  });

  test('shards are one checkpoint, by index or by folder', async () => {
    await withFolder(async (folder) => {
      const tensor = (name: string, value: number): WritableTensor => ({
        name,
        dtype: 'f32',
        shape: [2],
        read: () => Float32Array.of(value, -value),
      });
      await writeSafetensors(join(folder, 'm-00001-of-00002.safetensors'), [tensor('a', 1), tensor('b', 2)]);
      await writeSafetensors(join(folder, 'm-00002-of-00002.safetensors'), [tensor('c', 3)], { kind: '"x"' });
      const index = join(folder, 'm.safetensors.index.json');
      const map: Record<string, string> = {
        a: 'm-00001-of-00002.safetensors',
        b: 'm-00001-of-00002.safetensors',
        c: 'm-00002-of-00002.safetensors',
      };
      const write = (weightMap: unknown) =>
        writeFile(index, JSON.stringify({ metadata: { total_size: 24 }, weight_map: weightMap }, null, 2));
      await write(map);
      for (const path of [index, folder]) {
        const checkpoint = await openCheckpoint(path);
        expect([...checkpoint.tensors.keys()]).toEqual(['a', 'b', 'c']);
        expect(checkpoint.configuration).toEqual({ kind: 'x' });
        expect(await checkpoint.readF32('c')).toEqual(Float32Array.of(3, -3));
        await checkpoint.close();
      }
      const name = 'm.safetensors.index.json: ';
      const many = Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`t${i}`, `shard${i}`]));
      await writeFile(index, JSON.stringify({ weight_map: many }));
      await expect(checkpointFiles(index)).rejects.toThrow(`${name}names more than 1000 shards`);
      await write({ ...map, d: map.c });
      expect(await messageOf(() => openCheckpoint(index))).toBe(
        `${name}names 1 tensors that their shards do not have: d`,
      );
      await write({ a: map.a, c: map.c });
      expect(await messageOf(() => openCheckpoint(index))).toBe(`${name}does not say that b is in ${map.b}`);
      await write({ ...map, c: '../m-00002-of-00002.safetensors' });
      expect(await messageOf(() => openCheckpoint(index))).toBe(`${name}has no valid file name for c`);
      await write({ ...map, c: 'missing.safetensors' });
      expect(await messageOf(() => openCheckpoint(index))).toBe('missing.safetensors: no such file');
      await write([]);
      expect(await messageOf(() => openCheckpoint(index))).toContain('has no weight_map');
    });
  });
});

(process.platform === 'win32' ? describe.skip : describe)('what is no regular file', () => {
  test('a pipe that nobody writes to is refused, not waited for', () =>
    withFolder(async (folder) => {
      const pipe = join(folder, 'pipe.safetensors');
      execFileSync('mkfifo', [pipe]);
      expect(await messageOf(() => openCheckpoint(pipe))).toBe('pipe.safetensors: is not a regular file');
      expect(await messageOf(() => writeSafetensors(pipe, []))).toMatch(
        /^pipe\.safetensors: is a device, pipe/,
      );
      expect((await lstat(pipe)).isFIFO()).toBe(true);
    }));

  test('a link is written through, and stays a link', () =>
    withFolder(async (folder) => {
      const [file, link, dangling] = ['file', 'link', 'dangling'].map((name) => join(folder, name));
      await writeFile(file!, 'old');
      await symlink('file', link!);
      await symlink('nowhere', dangling!);
      await writeSafetensors(link!, []);
      expect((await lstat(link!)).isSymbolicLink()).toBe(true);
      expect(plainSafetensors(file!).size).toBe(0);
      expect(await messageOf(() => writeSafetensors(dangling!, []))).toMatch(/^dangling: is a link/);
      expect((await readdir(folder)).sort()).toEqual(['dangling', 'file', 'link']);
    }));
});

describe('writing', () => {
  test('what is written is read back, aligned and the same each time', async () => {
    await withFolder(async (folder) => {
      const tensors: WritableTensor[] = [
        { name: 'bytes', dtype: 'u8', shape: [3], read: () => Uint8Array.of(1, 2, 255) },
        { name: 'zeta', dtype: 'f32', shape: [2, 2], read: async () => Float32Array.of(1, -0, NaN, 1e-45) },
        { name: 'half', dtype: 'f16', shape: [2], read: () => Float32Array.of(1 / 3, 70000) },
        { name: 'long', dtype: 'i64', shape: [], read: () => BigInt64Array.of(-5n) },
        { name: 'alpha', dtype: 'f32', shape: [0], read: () => new Float32Array() },
        { name: 'int', dtype: 'i32', shape: [1], read: () => Int32Array.of(-7) },
      ];
      const metadata = { name: '"x"', charset: '"a\\"b"' };
      const [one, two] = [join(folder, 'one.safetensors'), join(folder, 'two.safetensors')];
      await writeSafetensors(one, tensors, metadata);
      await writeSafetensors(two, [...tensors].reverse(), { charset: metadata.charset, name: metadata.name });
      const bytes = readFileSync(one);
      expect(Buffer.compare(bytes, readFileSync(two))).toBe(0);
      expect(Number(bytes.readBigUInt64LE(0)) % 8).toBe(0);
      expect(await readdir(folder)).toEqual(['one.safetensors', 'two.safetensors']);

      const truth = plainSafetensors(one);
      expect([...truth.keys()]).toEqual(['long', 'alpha', 'int', 'zeta', 'half', 'bytes']);
      expect(plainValues(truth.get('zeta')!)).toEqual([1, -0, NaN, Math.fround(1e-45)]);
      expect(plainValues(truth.get('half')!)).toEqual([0.333251953125, Infinity]);
      expect(plainValues(truth.get('long')!)).toEqual([-5]);
      const checkpoint = await openCheckpoint(one);
      expect(checkpoint.configuration).toEqual({ name: 'x', charset: 'a"b' });
      expect(await checkpoint.read('int')).toEqual(Int32Array.of(-7));
      await checkpoint.close();
    });
  });

  test('a failure leaves the old file and nothing else', async () => {
    await withFolder(async (folder) => {
      const path = join(folder, 'kept.safetensors');
      await writeFile(path, 'old');
      const bad = (read: () => Float32Array): WritableTensor[] => [
        { name: 'a', dtype: 'f32', shape: [2], read },
      ];
      expect(
        await messageOf(() =>
          writeSafetensors(
            path,
            bad(() => new Float32Array(3)),
          ),
        ),
      ).toBe('kept.safetensors: a has 3 elements; [2] needs 2');
      const fails = bad(() => {
        throw new Error('the device was lost');
      });
      expect(await messageOf(() => writeSafetensors(path, fails))).toContain('the device was lost');
      const twice = [...bad(() => new Float32Array(2)), ...bad(() => new Float32Array(2))];
      expect(await messageOf(() => writeSafetensors(path, twice))).toContain('two tensors named a');
      expect(readFileSync(path, 'utf8')).toBe('old');
      expect(await readdir(folder)).toEqual(['kept.safetensors']);
      await mkdir(join(folder, 'taken'));
      expect(await messageOf(() => writeSafetensors(join(folder, 'taken'), []))).toMatch(/^taken: /);
      expect((await readdir(folder)).sort()).toEqual(['kept.safetensors', 'taken']);
    });
  });
});

describe('half precision', () => {
  test('all patterns are decoded as IEEE 754 defines them', () => {
    const decoded = new Float32Array(65536);
    f32FromHalf(
      Uint16Array.from({ length: 65536 }, (_, i) => i),
      decoded,
    );
    for (let bits = 0; bits < 65536; bits++) {
      if (!Object.is(decoded[bits], halfValue(bits)))
        throw new Error(`pattern ${bits} became ${decoded[bits]}`);
    }
  });

  test('rounding goes to the nearest pattern, ties to even, for every gap', () => {
    for (let bits = 0; bits < 0x7c00; bits++) {
      const low = halfValue(bits);
      const high = bits === 0x7bff ? 65536 : halfValue(bits + 1);
      const middle = (low + high) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      const nudge = (high - low) / 256;
      const found = [low, middle - nudge, middle, middle + nudge].map(halfBits);
      const wanted = [bits, bits, even, bits + 1];
      if (found.join() !== wanted.join())
        throw new Error(`at ${bits}: ${found.join()}, expected ${wanted.join()}`);
      if (halfBits(-middle) !== (even | 0x8000)) throw new Error(`at -${bits}`);
    }
    expect([NaN, Infinity, -Infinity, 1e-30, -1e-30].map(halfBits)).toEqual([
      0x7e00, 0x7c00, 0xfc00, 0, 0x8000,
    ]);
  });
});

test('the fixture is a file as the writer of safetensors itself makes it', async () => {
  const checkpoint = await openCheckpoint(formatFixture('OpenCLIP-tiny.as_loaded.safetensors'));
  expect(checkpoint.tensors.get('visual.conv1.weight')).toMatchObject({ dtype: 'f16', shape: [64, 3, 8, 8] });
  await checkpoint.close();
});
