import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import {
  DataSetError,
  type JoinedDataSets,
  type LabelFilter,
  findDataSets,
  fitsCharset,
  keepLabel,
  labelSelection,
  openDataSets,
} from '../train/data/index.js';
import { LONGEST_LINE_BYTES } from '../train/data/text_lines.js';
import { PackedStrings } from '../train/data/packed_strings.js';
import { labelFilter } from '../train/label_filter.js';
import { parseListLine } from '../train/data/list_lines.js';
import { wordEntries, writeLmdb } from './support/data_sets.js';
import { fixturePath, readJsonFixture } from './support/fixtures.js';
import { messageOf, withFolder } from './support/weights_files.js';

const onPosix = process.platform === 'win32' ? test.skip : test;

type Kept = [record: number, label: string][];
interface ReferenceSet {
  readonly raw: readonly { readonly index: number; readonly label: string; readonly image_sha256: string }[];
  readonly [option: string]: unknown;
}

const reference = readJsonFixture<Record<string, ReferenceSet>>('lmdb/lmdb.json');
const sets = ['words', 'tree/A', 'tree/B/sub', 'tree/B/sub2'] as const;

function originalFilter(charset: string, maxLabelLength = 25, changesText = true): LabelFilter {
  return labelFilter({
    charset,
    maxLabelLength,
    removeWhitespace: changesText,
    normalizeUnicode: changesText,
  });
}

function keptOf(set: JoinedDataSets): Kept {
  return Array.from({ length: set.length }, (_, index) => [
    Number(set.source(index).split('#')[1]),
    set.label(index),
  ]);
}

async function opened<T>(
  roots: readonly string[],
  use: (set: JoinedDataSets) => Promise<T> | T,
  filter: LabelFilter = keepLabel,
): Promise<T> {
  const set = await openDataSets(roots, { filter });
  try {
    return await use(set);
  } finally {
    await set.close();
  }
}

const labelsOf = (set: JoinedDataSets): string[] =>
  Array.from({ length: set.length }, (_, index) => set.label(index));

describe('data sets in LMDB', () => {
  test.each(sets)('%s has the images of the reference', (name) =>
    opened([fixturePath(`lmdb/${name}`)], async (set) => {
      const { raw } = reference[name]!;
      expect(set.length).toBe(raw.length);
      for (const [index, record] of raw.entries()) {
        const { image, label, source } = await set.sample(index);
        expect(label).toBe(record.label);
        expect(source.endsWith(`#${record.index}`)).toBe(true);
        expect(createHash('sha256').update(image).digest('hex')).toBe(record.image_sha256);
      }
    }),
  );

  const options: Record<string, LabelFilter> = {
    '94': originalFilter('94'),
    '36': originalFilter('36'),
    '62': originalFilter('62'),
    '94_keep_ws_no_unicode_norm': originalFilter('94', 25, false),
    '94_max10': originalFilter('94', 10),
  };
  test.each(sets.flatMap((name) => Object.keys(options).map((option) => [name, option] as const)))(
    '%s keeps what the original keeps, option %s',
    (name, option) =>
      opened(
        [fixturePath(`lmdb/${name}`)],
        (set) => {
          expect(keptOf(set)).toEqual(reference[name]![option]);
          const [report] = set.reports;
          expect(report).toMatchObject({
            kind: 'lmdb',
            records: reference[name]!.raw.length,
            kept: set.length,
          });
          const dropped = report!.dropped.reduce((sum, { count }) => sum + count, 0);
          expect(dropped).toBe(report!.records - report!.kept);
        },
        options[option],
      ),
  );

  test('a tree is its data sets in order, by index from the first on', async () => {
    const root = fixturePath('lmdb/tree');
    expect((await findDataSets(root)).map(({ name }) => name)).toEqual(['A', 'B/sub', 'B/sub2']);
    for (const charset of ['94', '36'] as const) {
      await opened(
        [root],
        async (set) => {
          expect(set.length).toBe(reference[`tree_total_${charset}`]);
          const parts = ['tree/A', 'tree/B/sub', 'tree/B/sub2'];
          expect(keptOf(set)).toEqual(parts.flatMap((part) => reference[part]![charset] as Kept));
          expect(set.reports.map(({ kept }) => kept)).toEqual(set.parts.map(({ length }) => length));
          expect((await set.sample(set.length - 1)).label).toBe(set.label(set.length - 1));
          for (const index of [-1, set.length, 0.5, NaN]) {
            expect(() => set.label(index)).toThrow(RangeError);
            await expect(set.sample(index)).rejects.toThrow(RangeError);
          }
        },
        originalFilter(charset),
      );
    }
  });

  test('several roots are one after the other, a file is a root too', async () => {
    const roots = [
      fixturePath('lmdb/tree/B'),
      fixturePath('lmdb/words/data.mdb'),
      fixturePath('lmdb/tree/A'),
    ];
    await opened(roots, (set) => {
      expect(set.reports.map(({ name }) => name)).toEqual(['sub', 'sub2', 'words', 'A']);
      expect(set.length).toBe(2 + 3 + 60 + 3);
    });
  });

  test('every record left out is told, with reason and label', async () => {
    const told: string[] = [];
    const set = await openDataSets([fixturePath('lmdb/words')], {
      filter: originalFilter('94'),
      onDropped: (source, reason, label) => told.push(`${source.split('#')[1]} ${reason}: ${label}`),
    });
    await set.close();
    expect(told).toEqual([
      '30 no character of the charset: 日本',
      '36 no character of the charset: ß',
      `38 more than 25 characters: ${'y'.repeat(26)}`,
      '39 more than 25 characters: supercalifragilisticexpialidocious',
      '41 more than 25 characters: abcdefghijklmno pqrstuvwxyz',
      `44 more than 25 characters: ${'é'.repeat(26)}`,
    ]);
    expect(set.reports[0]!.dropped).toEqual([
      {
        reason: 'more than 25 characters',
        count: 4,
        example: { source: set.source(0).replace('#1', '#38'), label: 'y'.repeat(26) },
      },
      {
        reason: 'no character of the charset',
        count: 2,
        example: { source: set.source(0).replace('#1', '#30'), label: '日本' },
      },
    ]);
  });
});

describe('damaged LMDB data sets', () => {
  async function failure(entries: Record<string, string | Uint8Array>): Promise<string> {
    return withFolder(async (folder) => {
      const path = await writeLmdb(folder, entries);
      const message = await messageOf(() => openDataSets([folder], { filter: keepLabel }));
      expect(message.startsWith(`${path}: `)).toBe(true);
      return message.slice(path.length + 2);
    });
  }
  const uncounted = wordEntries(['a', 'b']);
  delete uncounted['num-samples'];

  test('without a count are refused', async () => {
    expect(await failure(uncounted)).toMatch(/^has no num-samples/);
    expect(await failure({ other: 'database' })).toMatch(/^has no num-samples/);
    expect(await failure({})).toMatch(/^has no num-samples/);
  });

  test.each(['1000000000000000', '6', '-1', '1e3', '', ' 2', 'two', '9'.repeat(60)])(
    'that count %j records are refused',
    async (count) => {
      expect(await failure({ ...uncounted, 'num-samples': count })).toBe(
        `num-samples is ${JSON.stringify(count)}, but the file has 5 keys: damaged, or not written to its end`,
      );
    },
  );

  test('that lack labels give the others, and those beyond the count are none', () =>
    withFolder(async (folder) => {
      const entries = wordEntries(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']);
      for (const number of [1, 4, 5, 7]) delete entries[`label-00000000${number}`];
      entries['num-samples'] = '7';
      entries['label-00000000x'] = 'no number';
      entries['label-0000000010'] = 'no record';
      await writeLmdb(folder, entries);
      const told: string[] = [];
      const set = await openDataSets([folder], {
        filter: keepLabel,
        onDropped: (source) => told.push(source),
      });
      expect(labelsOf(set)).toEqual(['b', 'c', 'f']);
      expect((await set.sample(2)).source).toBe(`${folder}#6`);
      expect(told).toEqual([`${folder}#1`, `${folder}#4 to 5`, `${folder}#7`]);
      expect(set.reports[0]).toMatchObject({
        records: 7,
        kept: 3,
        dropped: [{ reason: 'has no label', count: 4 }],
      });
      await set.close();
    }));

  test('that lack an image say so when it is asked for', () =>
    withFolder(async (folder) => {
      const entries = wordEntries(['a', 'b']);
      delete entries['image-000000002'];
      entries['label-000000003'] = 'unused';
      await writeLmdb(folder, entries);
      await opened([folder], async (set) => {
        expect(set.length).toBe(2);
        expect(Buffer.from((await set.sample(0)).image).toString()).toBe('image of a');
        await expect(set.sample(1)).rejects.toThrow(
          `${join(folder, 'data.mdb')}: has no image-000000002, though num-samples counts it`,
        );
      });
    }));

  test('with labels that are no text give the others', () =>
    withFolder(async (folder) => {
      const entries = wordEntries(['a', 'b', 'c', 'd']);
      entries['label-000000002'] = Uint8Array.of(0x63, 0x61, 0x66, 0xe9);
      entries['label-000000003'] = 'x'.repeat(70_000);
      await writeLmdb(folder, entries);
      await opened([folder], (set) => {
        expect(labelsOf(set)).toEqual(['a', 'd']);
        expect(set.reports[0]!.dropped).toEqual([
          {
            reason: 'the label is no UTF-8 text of a word',
            count: 2,
            example: { source: `${folder}#2`, label: null },
          },
        ]);
      });
    }));

  test('that lost their end are refused where an image is lost, not where unused pages are', () =>
    withFolder(async (folder) => {
      const path = await writeLmdb(folder, {
        ...wordEntries(['a']),
        'image-000000001': Buffer.alloc(50_000, 1),
      });
      const built = await readFile(path);
      const [pages, imagePage] = [built.length / 4096, 2];
      // Files of the library may say that they have pages which were never written, as nothing is in them.
      built.writeBigUInt64LE(BigInt(pages + 99), 4096 + 136);
      await writeFile(path, built);
      await opened([folder], (set) => expect(set.length).toBe(1));
      // The image comes to lie at the end: its pages, their number in the first of them, and in the leaf, the last page.
      const moved = Buffer.concat([built, built.subarray(imagePage * 4096, (imagePage + 13) * 4096)]);
      moved.writeBigUInt64LE(BigInt(pages), pages * 4096);
      const leaf = (pages - 1) * 4096;
      moved.writeBigUInt64LE(
        BigInt(pages),
        leaf + moved.readUInt16LE(leaf + 16) + 8 + 'image-000000001'.length,
      );
      await writeFile(path, moved);
      await opened([folder], async (set) => expect((await set.sample(0)).image.length).toBe(50_000));
      await writeFile(path, moved.subarray(0, -4096));
      await expect(openDataSets([folder], { filter: keepLabel })).rejects.toThrow(
        `${path}: is truncated: image-000000001 lies beyond its end. Copy it again`,
      );
    }));
});

describe('lists of image files', () => {
  /** Opens a list of files that all exist. */
  async function listed(
    list: string,
    content: string | Uint8Array,
    files: readonly string[] = [],
  ): Promise<{ rows: string[]; dropped: string[] }> {
    return withFolder(async (folder) => {
      for (const file of files) {
        await mkdir(join(folder, file, '..'), { recursive: true });
        await writeFile(join(folder, file), `content of ${file}`);
      }
      await writeFile(join(folder, list), content);
      const dropped: string[] = [];
      const set = await openDataSets([folder], {
        filter: keepLabel,
        onDropped: (source, reason) => dropped.push(`${source.replace(`${folder}/`, '')} ${reason}`),
      });
      const rows: string[] = [];
      for (let index = 0; index < set.length; index++) {
        const { image, label, source } = await set.sample(index);
        const name = relative(folder, source).replaceAll('\\', '/');
        expect(Buffer.from(image).toString()).toBe(`content of ${name}`);
        rows.push(`${name}=${label}`);
      }
      expect(set.reports[0]!.records).toBe(set.length + dropped.length);
      await set.close();
      return { rows, dropped };
    });
  }

  test.each<[string, string, string, string[]]>([
    ['tabs', 'gt.txt', 'a.png\tone\nb.jpg\ttwo words\n', ['a.png=one', 'b.jpg=two words']],
    ['spaces', 'gt.txt', 'a.png one\nb.jpg  two, words', ['a.png=one', 'b.jpg=two, words']],
    ['spaces in names', 'gt.txt', 'my a.png one\n', ['my a.png=one']],
    ['commas', 'gt.txt', 'a.png,one\nb.jpg, two words\n', ['a.png=one', 'b.jpg=two words']],
    [
      "ICDAR's form",
      'gt.txt',
      '\ufeffa.png, "Tiredness"\r\nb.jpg, "say \\"hi\\" \\\\"\r\nmy a.png, "a, b"\r\n',
      ['a.png=Tiredness', 'b.jpg=say "hi" \\', 'my a.png=a, b'],
    ],
    ['unquoted quotes', 'gt.txt', 'a.png,"\nb.jpg\t"x"', ['a.png="', 'b.jpg="x"']],
    ['other endings', 'gt.txt', 'word1 one\nword1,one', ['word1=one', 'word1=one']],
    ['folders', 'gt.txt', 'sub/c.png\tthree\n./a.png x', ['sub/c.png=three', 'a.png=x']],
    ['a heading', 'labels.tsv', 'file\tlabel\na.png\tone\textra\n\nb.jpg\t\n', ['a.png=one', 'b.jpg=']],
    [
      'JSON lines',
      'labels.jsonl',
      '{"file": "a.png", "label": "on\\te"}\n{"label": "", "file": "sub/c.png", "more": 1}\n',
      ['a.png=on\te', 'sub/c.png='],
    ],
  ])('with %s', async (_, list, content, rows) => {
    const files = ['a.png', 'b.jpg', 'sub/c.png', 'my a.png', 'word1'];
    expect(await listed(list, content, files)).toEqual({ rows, dropped: [] });
  });

  test('lines that say nothing are left out with the reason, the others kept', async () => {
    const lines = [
      'a.png\tone',
      'a.png',
      '../outside.png\tx',
      '/etc/hostname\tx',
      'sub/../../outside.png\tx',
      '.\tx',
      'gone.png\tx',
      'gone/a.png\tx',
      'a\0.png\tx',
      `a.png\t${'x'.repeat(LONGEST_LINE_BYTES)}`,
      'a.png\ttwo',
    ];
    const { rows, dropped } = await listed('gt.txt', lines.join('\n'), ['a.png', 'sub/b.png']);
    expect(rows).toEqual(['a.png=one', 'a.png=two']);
    const outside = "names a file outside the list's folder";
    expect(dropped).toEqual([
      'gt.txt:2 no label: expected the file, then a tab, comma or space, then the label',
      `gt.txt:3 (../outside.png) ${outside}`,
      `gt.txt:4 (/etc/hostname) ${outside}`,
      `gt.txt:5 (sub/../../outside.png) ${outside}`,
      'gt.txt:6 (.) names no file',
      'gt.txt:7 (gone.png) the file does not exist',
      'gt.txt:8 (gone/a.png) the file does not exist',
      'gt.txt:9 (a\0.png) names no file',
      `gt.txt:10 the line has more than ${LONGEST_LINE_BYTES} bytes`,
    ]);
  });

  test('lines of other forms and encodings', async () => {
    expect((await listed('labels.tsv', 'a.png one\n', ['a.png'])).dropped).toEqual([
      'labels.tsv:1 no label: expected the file, a tab and the label',
    ]);
    const json = [
      '{"file": "a.png"}',
      '5',
      'null',
      '{"file": 1, "label": "x"}',
      '{"file": "a.png", "label": "x"',
    ];
    const { dropped } = await listed('labels.jsonl', json.join('\n'));
    expect(dropped.map((line) => line.replace(/^\S+ /, ''))).toEqual([
      ...Array.from({ length: 4 }, () => 'the line has no texts "file" and "label"'),
      'the line is not JSON',
    ]);
    const latin = Buffer.from('a.png\tcaf\xe9\na.png\tcafe\n', 'latin1');
    expect(await listed('gt.txt', latin, ['a.png'])).toEqual({
      rows: ['a.png=cafe'],
      dropped: ['gt.txt:1 the line is not UTF-8'],
    });
    await expect(listed('gt.txt', Buffer.from('\ufeffa.png\tx', 'utf16le'))).rejects.toThrow(
      /gt\.txt: is UTF-16 text; save it as UTF-8/,
    );
    expect(await listed('gt.txt', '')).toEqual({ rows: [], dropped: [] });
  });

  test('long lists and long lines pass through in pieces', () =>
    withFolder(async (folder) => {
      const lines = Array.from({ length: 60_000 }, (_, at) => `a.png\tword number ${at}`);
      const list = [...lines.slice(0, 30_000), 'y'.repeat(3 << 20), ...lines.slice(30_000)];
      await writeFile(join(folder, 'a.png'), '');
      await writeFile(join(folder, 'gt.txt'), list.join('\n'));
      await opened([folder], (set) => {
        expect(labelsOf(set)).toEqual(lines.map((line) => line.split('\t')[1]));
        expect(set.reports[0]!.dropped).toMatchObject([
          { reason: `the line has more than ${LONGEST_LINE_BYTES} bytes`, count: 1 },
        ]);
      });
    }));

  test('a file inside the folder may be named by its whole path, and be gone later', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'a.png');
      await writeFile(path, 'here');
      await writeFile(join(folder, 'gt.txt'), `${path}\tone\n`);
      await opened([join(folder, 'gt.txt')], async (set) => {
        expect((await set.sample(0)).source).toBe(path);
        await rm(path);
        await expect(set.sample(0)).rejects.toThrow(`${path}: no such file`);
      });
    }));

  test('labels pass the filter', () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, 'a.png'), '');
      await writeFile(join(folder, 'gt.txt'), 'a.png\tOne Two\na.png\t日本\n');
      await opened(
        [folder],
        (set) => {
          expect(labelsOf(set)).toEqual(['onetwo']);
          expect(set.reports[0]!.dropped).toMatchObject([
            { reason: 'no character of the charset', count: 1, example: { label: '日本' } },
          ]);
        },
        originalFilter('36'),
      );
    }));
});

describe('finding data sets', () => {
  const failure = (root: string): Promise<string> => messageOf(() => findDataSets(root));

  test('lists and LMDB side by side, links once and not in circles, hidden folders not', () =>
    withFolder(async (folder) => {
      for (const name of ['b/lists', 'b/lmdb', 'a', '.hidden', 'c'])
        await mkdir(join(folder, name), { recursive: true });
      await writeFile(join(folder, 'b/lists/labels.jsonl'), '');
      await writeFile(join(folder, 'b/lmdb/data.mdb'), '');
      await writeFile(join(folder, 'b/lmdb/gt.txt'), '');
      await writeFile(join(folder, '.hidden/gt.txt'), '');
      await writeFile(join(folder, 'gt.txt'), '');
      await symlink('..', join(folder, 'a/round'));
      await symlink('../b/lists', join(folder, 'a/lists'));
      await symlink('nowhere', join(folder, 'a/dangling'));
      const found = await findDataSets(folder);
      expect(found.map(({ kind, path }) => `${kind} ${relative(folder, path)}`)).toEqual([
        'list gt.txt',
        'list a/lists/labels.jsonl',
        'lmdb b/lmdb/data.mdb',
      ]);
      expect(found.slice(1).map(({ name }) => name)).toEqual(['a/lists', 'b/lmdb']);
      expect(folder.endsWith(found[0]!.name)).toBe(true);
    }));

  test('what is none is named', () =>
    withFolder(async (folder) => {
      expect(await failure(folder)).toBe(
        `${folder}: no data set here or below: expected data.mdb, gt.txt, labels.tsv, labels.jsonl`,
      );
      expect(await failure(join(folder, 'gone'))).toBe(`${join(folder, 'gone')}: no such file or folder`);
      await writeFile(join(folder, 'image.png'), '');
      expect(await failure(join(folder, 'image.png'))).toMatch(
        /image\.png: is no data set: expected a folder/,
      );
      await writeFile(join(folder, 'gt.txt'), '');
      await writeFile(join(folder, 'labels.tsv'), '');
      expect(await failure(folder)).toBe(
        `${folder}: has several lists (gt.txt, labels.tsv); name the one that is meant`,
      );
    }));

  test('one bad data set of many closes the others', () =>
    withFolder(async (folder) => {
      await writeLmdb(join(folder, 'a'), wordEntries(['x']));
      await writeLmdb(join(folder, 'b'), {});
      const before = process.platform === 'linux' ? (await readdir('/proc/self/fd')).length : 0;
      await expect(openDataSets([folder], { filter: keepLabel })).rejects.toThrow(DataSetError);
      if (process.platform === 'linux') expect((await readdir('/proc/self/fd')).length).toBe(before);
    }));

  onPosix('pipes in the place of files are refused, not waited for', () =>
    withFolder(async (folder) => {
      for (const name of ['data.mdb', 'gt.txt']) {
        execFileSync('mkfifo', [join(folder, name)]);
        const failure = await messageOf(() => openDataSets([join(folder, name)], { filter: keepLabel }));
        expect(failure).toBe(`${join(folder, name)}: is not a regular file`);
      }
    }),
  );

  test('opening can be ended early', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(openDataSets([fixturePath('lmdb')], { filter: keepLabel, signal })).rejects.toThrow(
      'enough',
    );
  });
});

describe('selecting labels', () => {
  const outcome = (selection: Parameters<typeof labelSelection>[0], label: string): string => {
    const result = labelSelection(selection)(label);
    return 'label' in result ? result.label : `- ${result.dropped}`;
  };

  test('by length, charset and pattern, without changing them', () => {
    expect(outcome({}, '')).toBe('');
    expect(outcome({ minLength: 1 }, '')).toBe('- fewer than 1 characters');
    expect(outcome({ maxLength: 2 }, 'abc')).toBe('- more than 2 characters');
    expect(outcome({ maxLength: 2 }, '𝟙𝟚')).toBe('𝟙𝟚');
    expect(outcome({ charset: '36' }, 'Hello')).toBe('Hello');
    expect(outcome({ charset: '36' }, 'e-mail')).toBe('- characters outside the charset');
    expect(outcome({ charset: '94' }, 'e-mail')).toBe('e-mail');
    expect(outcome({ charset: '94' }, 'two words')).toBe('- characters outside the charset');
    expect(outcome({ charset: 'abcA' }, 'abB')).toBe('- characters outside the charset');
    expect(outcome({ pattern: /^\d+$/u }, '12')).toBe('12');
    expect(outcome({ pattern: /^\d+$/u }, '1a')).toBe('- does not match /^\\d+$/u');
    expect(fitsCharset('ABC')('abcA')).toBe(true);
  });
});

test('packed texts come back as they were', () => {
  const texts = Array.from({ length: 5000 }, (_, at) => (at % 7 === 0 ? '' : `日${'x'.repeat(at % 50)}`));
  const packed = new PackedStrings();
  for (const text of texts) packed.push(text);
  expect(packed.length).toBe(5000);
  expect(texts.every((text, at) => packed.at(at) === text)).toBe(true);
  for (const index of [-1, 5000, 1.5]) expect(() => packed.at(index)).toThrow(RangeError);
});

test('a label of a text list goes to the end of the line, one of a table to the next column', () => {
  expect(parseListLine('a.png\tHOT\tEL', 'txt')).toEqual({ file: 'a.png', label: 'HOT\tEL' });
  expect(parseListLine('a.png\tHOT\tEL', 'tsv')).toEqual({ file: 'a.png', label: 'HOT' });
  expect(parseListLine('a.png HOT\tEL', 'txt')).toEqual({ file: 'a.png HOT', label: 'EL' });
  expect(parseListLine('a.png', 'tsv')).toEqual({ problem: expect.stringMatching(/no label/) });
});
