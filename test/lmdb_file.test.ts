import { createHash } from 'node:crypto';
import { chmod, mkdir, readFile, readdir, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { DataSetError } from '../train/data/errors.js';
import { LmdbBuilder } from '../train/data/lmdb_builder.js';
import { LmdbFile } from '../train/data/lmdb_file.js';
import { lmdbBytes, wordEntries } from './support/data_sets.js';
import { fixturePath, readJsonFixture } from './support/fixtures.js';
import { Random } from './support/numbers.js';
import { messageOf, withFolder } from './support/weights_files.js';

interface RawRecord {
  readonly index: number;
  readonly label: string;
  readonly image_bytes: number;
  readonly image_sha256: string;
}

const reference = readJsonFixture<Record<string, { raw: RawRecord[] }>>('lmdb/lmdb.json');
const sets = ['words', 'tree/A', 'tree/B/sub', 'tree/B/sub2'] as const;
const MOST = 1 << 20;

async function contentOf(path: string): Promise<Map<string, Buffer>> {
  const file = await LmdbFile.open(path);
  try {
    const content = new Map<string, Buffer>();
    for await (const entries of file.entriesFrom('')) {
      for (const entry of entries) content.set(entry.key, Buffer.from(await file.value(entry, MOST)));
    }
    expect(content.size).toBe(file.entries);
    return content;
  } finally {
    await file.close();
  }
}

/** Reads everything that can be found, as a data set does. */
async function readAll(path: string): Promise<void> {
  const file = await LmdbFile.open(path);
  try {
    for await (const entries of file.entriesFrom('label-')) {
      for (const entry of entries) await file.value(entry, MOST);
    }
    for (let number = 1; number <= 60; number++) {
      const entry = await file.find(`image-${String(number).padStart(9, '0')}`);
      if (entry) await file.value(entry, MOST);
    }
  } finally {
    await file.close();
  }
}

async function written(folder: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, 'data.mdb');
  await writeFile(path, bytes);
  return path;
}

describe('files written by the LMDB library', () => {
  test.each(sets)('%s is read to the last byte', async (name) => {
    const content = await contentOf(fixturePath(`lmdb/${name}/data.mdb`));
    const { raw } = reference[name]!;
    expect(content.size).toBe(2 * raw.length + 1);
    expect(content.get('num-samples')!.toString()).toBe(String(raw.length));
    for (const { index, label, image_bytes: bytes, image_sha256: sha256 } of raw) {
      const number = String(index).padStart(9, '0');
      const image = content.get(`image-${number}`)!;
      expect(content.get(`label-${number}`)!.toString()).toBe(label);
      expect(image.length).toBe(bytes);
      expect(createHash('sha256').update(image).digest('hex')).toBe(sha256);
    }
  });

  test('keys are found one by one, and only those that are there', async () => {
    const path = fixturePath('lmdb/words/data.mdb');
    const content = await contentOf(path);
    const file = await LmdbFile.open(path);
    for (const [key, value] of content) {
      const entry = await file.find(key);
      expect(Buffer.from(await file.value(entry!, MOST)).equals(value)).toBe(true);
      expect(await file.find(`${key}0`)).toBeUndefined();
    }
    expect(await file.find('')).toBeUndefined();
    expect(await file.find('zzz')).toBeUndefined();
    await file.close();
  });

  test('nothing is written beside them', () =>
    withFolder(async (folder) => {
      const path = await written(folder, await readFile(fixturePath('lmdb/words/data.mdb')));
      await chmod(path, 0o444);
      await chmod(folder, 0o555);
      await contentOf(path);
      expect(await readdir(folder)).toEqual(['data.mdb']);
      await chmod(folder, 0o755);
    }));
});

describe('files built here', () => {
  // The LMDB library itself (0.9.24 and 0.9.70) has listed, copied and changed files of this builder.
  test('have the bytes that the LMDB library was tried on', () => {
    const random = new Random(1);
    const entries = wordEntries(Array.from({ length: 300 }, (_, at) => 'x'.repeat(at % 40)));
    for (let number = 1; number <= 300; number += 3) {
      entries[`image-${String(number).padStart(9, '0')}`] = Uint8Array.from(
        random.integers(random.integer(9000), 256),
      );
    }
    expect(createHash('sha256').update(lmdbBytes(entries)).digest('hex')).toBe(
      'e5790b3a6070c9d58b8ca4e7020041b4c07211db41207df9f15a68ca25dba5e0',
    );
  });

  test.each([0, 1, 2, 127, 128, 5000])('hold %i keys with values of any size', (count) =>
    withFolder(async (folder) => {
      const random = new Random(count);
      const entries = new Map<string, Uint8Array>();
      while (entries.size < count) {
        const key = random.integers(1 + random.integer(random.integer(20) === 0 ? 511 : 40), 94);
        // Sizes about the largest that a leaf takes in are the likely ones to go wrong.
        const size = [
          random.integer(10),
          2005 + random.integer(40),
          4070 + random.integer(40),
          random.integer(9000),
        ];
        entries.set(
          String.fromCharCode(...key.map((code) => 33 + code)),
          Uint8Array.from(random.integers(count > 1000 ? size[0]! : size[random.integer(4)]!, 256)),
        );
      }
      const content = await contentOf(await written(folder, lmdbBytes(Object.fromEntries(entries))));
      expect([...content.keys()]).toEqual([...entries.keys()].sort());
      for (const [key, value] of content) expect(value.equals(entries.get(key)!)).toBe(true);
    }),
  );

  test('take keys in rising order alone', () => {
    const builder = new LmdbBuilder();
    builder.append('b', new Uint8Array(0));
    expect(() => builder.append('a', new Uint8Array(0))).toThrow('the key a does not come after b');
    expect(() => builder.append('b', new Uint8Array(0))).toThrow('the key b does not come after b');
  });
});

describe('damaged files end in one line that names them', () => {
  const words = readFile(fixturePath('lmdb/words/data.mdb'));

  test('wherever they are cut off', () =>
    withFolder(async (folder) => {
      // Unlike those of the library, which may end in free pages, this file needs all of its pages.
      const bytes = lmdbBytes(Object.fromEntries(await contentOf(fixturePath('lmdb/words/data.mdb'))));
      for (let size = 0; size < bytes.length; size += 3001) {
        const path = await written(folder, bytes);
        await truncate(path, size);
        const message = await messageOf(async () => {
          await contentOf(path);
        });
        expect(message).toMatch(/truncated or damaged|has no LMDB header/);
        expect(message.startsWith(`${path}: `)).toBe(true);
        expect(message).not.toContain('\n');
      }
    }));

  test('whatever bits are turned', () =>
    withFolder(async (folder) => {
      const random = new Random(5);
      const bytes = await words;
      const inHeader = (page: number): number => page * 4096 + random.integer(200);
      let failed = 0;
      for (let round = 0; round < 120; round++) {
        const changed = Buffer.from(bytes);
        for (let change = 0; change <= random.integer(8); change++) {
          const at =
            round % 2 === 0 ? random.integer(bytes.length) : inHeader(random.integer(bytes.length / 4096));
          changed[at]! ^= 1 << random.integer(8);
        }
        const path = await written(folder, changed);
        await readAll(path).catch((error: unknown) => {
          failed += 1;
          expect(error).toBeInstanceOf(DataSetError);
          expect((error as Error).message.startsWith(`${path}: `)).toBe(true);
        });
      }
      expect(failed).toBeGreaterThan(15);
    }));

  const at = { pageBytes: 40, mainFlags: 92, levels: 94, root: 128, lastPage: 136 };
  const patched = (write: (view: DataView) => void): Uint8Array => {
    const bytes = lmdbBytes(wordEntries(Array.from({ length: 300 }, (_, index) => `word ${index}`)));
    // The later state is that of page 1.
    write(new DataView(bytes.buffer, bytes.byteOffset + 4096));
    return bytes;
  };
  const rootOf = (bytes: Uint8Array): number =>
    Number(new DataView(bytes.buffer, bytes.byteOffset + 4096).getBigUint64(at.root, true));

  test.each<[string, () => Uint8Array, RegExp]>([
    ['an empty file', () => new Uint8Array(0), /the file has 0; it is truncated/],
    ['text', () => Buffer.alloc(9000, 'text '), /no LMDB file, or damaged: page 0 has no LMDB header/],
    ['a big-endian file', () => patched((view) => view.setUint32(16, 0xbeefc0de, false)), /big-endian/],
    ['another format', () => patched((view) => view.setUint32(20, 999, true)), /data format 999; only 1/],
    ['several values a key', () => patched((view) => view.setUint16(at.mainFlags, 4, true)), /of kind 4/],
    ['no levels', () => patched((view) => view.setUint16(at.levels, 0, true)), /0 levels/],
    ['too many levels', () => patched((view) => view.setUint16(at.levels, 9, true)), /at the wrong level/],
    ['too few levels', () => patched((view) => view.setUint16(at.levels, 1, true)), /at the wrong level/],
    [
      'a root beyond the end',
      () => patched((view) => view.setBigUint64(at.root, 1n << 60n, true)),
      /begins at page/,
    ],
    [
      'a root that is no tree',
      () => patched((view) => view.setBigUint64(at.root, 1n, true)),
      /page 1 is of kind 8/,
    ],
    [
      'a tree that bites its tail',
      () => {
        const bytes = patched(() => undefined);
        const root = rootOf(bytes) * 4096;
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        view.setUint32(root + view.getUint16(root + 18, true), rootOf(bytes), true);
        return bytes;
      },
      /at the wrong level/,
    ],
    [
      'a leaf in two places',
      () => {
        const bytes = patched(() => undefined);
        const root = rootOf(bytes) * 4096;
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        const first = view.getUint32(root + view.getUint16(root + 16, true), true);
        view.setUint32(root + view.getUint16(root + 18, true), first, true);
        return bytes;
      },
      /the keys of page \d+ do not rise/,
    ],
  ])('%s', (_, bytes, message) =>
    withFolder(async (folder) => {
      const path = await written(folder, bytes());
      const found = await messageOf(async () => {
        await contentOf(path);
      });
      expect(found).toMatch(message);
      expect(found.startsWith(`${path}: `)).toBe(true);
    }),
  );

  test('a page size that no page has', () =>
    withFolder(async (folder) => {
      const bytes = lmdbBytes({ a: 'b' });
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(at.pageBytes, 5000, true);
      await expect(LmdbFile.open(await written(folder, bytes))).rejects.toThrow(/pages have 5000 bytes/);
    }));

  test('a value is not read where it is larger than it may be', () =>
    withFolder(async (folder) => {
      const file = await LmdbFile.open(await written(folder, lmdbBytes({ a: Buffer.alloc(5000) })));
      await expect(file.value((await file.find('a'))!, 4999)).rejects.toThrow(
        /a has 5000 bytes; at most 4999/,
      );
      await file.close();
    }));

  test('what is no file at all', () =>
    withFolder(async (folder) => {
      await mkdir(join(folder, 'data.mdb'));
      await expect(LmdbFile.open(join(folder, 'data.mdb'))).rejects.toThrow(
        'data.mdb: is not a regular file',
      );
      const missing = join(dirname(folder), 'gone', 'data.mdb');
      await expect(LmdbFile.open(missing)).rejects.toThrow(`${missing}: no such file`);
    }));
});
