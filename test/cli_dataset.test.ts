import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { keepLabel, openDataSets } from '../train/data/index.js';
import { main, runCommand, samplePath } from './support/command.js';
import { noisePng, wordEntries, writeLmdb } from './support/data_sets.js';
import { fixturePath, readJsonFixture } from './support/fixtures.js';
import { Random } from './support/numbers.js';
import { withFolder } from './support/weights_files.js';

const words = fixturePath('lmdb/words');
const { words: reference } = readJsonFixture<{
  words: { raw: { label: string; image_bytes: number; size_wh: [number, number] }[] };
}>('lmdb/lmdb.json');

const create = (...args: readonly string[]): ReturnType<typeof runCommand> =>
  runCommand(['dataset', 'create', ...args]);

describe('dataset create', () => {
  test('makes a data set of the samples, which is then left alone', () =>
    withFolder(async (folder) => {
      const out = join(folder, 'set');
      const made = await create(out, samplePath('labels.tsv'));
      expect(made).toEqual({ code: 0, stdout: '', errors: [`${out}: 13 images, 65.5 kB`] });
      const set = await openDataSets([out], { filter: keepLabel });
      const labels = readFileSync(samplePath('labels.tsv'), 'utf8').trimEnd().split('\n');
      for (const [index, line] of labels.entries()) {
        const [file, label] = line.split('\t') as [string, string];
        const sample = await set.sample(index);
        expect(sample.label).toBe(label);
        expect(readFileSync(samplePath(file)).equals(sample.image)).toBe(true);
      }
      await set.close();
      const before = await readFile(join(out, 'data.mdb'));
      const again = await create(out, samplePath('labels.tsv'));
      expect(again).toMatchObject({
        code: 1,
        errors: [`error: ${out}: holds a data set already; name another folder`],
      });
      expect((await readFile(join(out, 'data.mdb'))).equals(before)).toBe(true);
    }));

  test('names every bad image and line, and takes the others', () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, 'good.png'), noisePng(new Random(1), 20, 10));
      await writeFile(join(folder, 'bad\u001b.png'), 'text');
      const list = 'good.png\tgood\nbad\u001b.png\tbad\ngone.png\tgone\n../out.png\tout\n';
      await writeFile(join(folder, 'gt.txt'), list);
      const out = join(folder, 'set');
      const { code, stdout, errors } = await create(out, folder, '--json');
      expect(code).toBe(2);
      expect(JSON.parse(stdout)).toEqual({ folder: out, images: 1, leftOut: 3, bytes: 12_288, resumedAt: 0 });
      expect(errors).toEqual([
        `${folder}/gt.txt:3 (gone.png): the file does not exist`,
        `${folder}/gt.txt:4 (../out.png): names a file outside the list's folder`,
        expect.stringMatching(/bad\\u001b\.png: not an image: expected JPEG/),
        `${out}: 1 image, 12.3 kB, 1 left out`,
      ]);
      await writeFile(join(folder, 'gt.txt'), 'bad\u001b.png\tbad\n');
      const none = await create(join(folder, 'none'), join(folder, 'gt.txt'), '--quiet');
      expect(none).toMatchObject({ code: 1, stdout: '', errors: [expect.stringMatching(/not an image/)] });
    }));

  test.each([
    ['file', 'file is a file, not a folder.'],
    ['file/below', 'below part of the path is a file, not a folder.'],
  ])('refuses %s as the folder', (place, message) =>
    withFolder(async (folder) => {
      await writeFile(join(folder, 'file'), '');
      const { code, errors } = await create(join(folder, place), samplePath('labels.tsv'));
      expect({ code, errors }).toEqual({ code: 1, errors: [expect.stringContaining(message)] });
    }),
  );

  // Node itself tries for ever to make folders there.
  (process.platform === 'linux' ? test : test.skip)('refuses a place that takes no folders', async () => {
    const { code, errors } = await create('/proc/none/set', samplePath('labels.tsv'));
    expect({ code, errors }).toEqual({
      code: 1,
      errors: ['error: dataset: /proc/none/set no such file or folder.'],
    });
  });

  /** Starts a run, ends it with a signal once something is safe, and returns how it ended. */
  async function ended(out: string, list: string, name: 'SIGKILL' | 'SIGINT'): Promise<string> {
    const child = spawn(process.execPath, [main, 'dataset', 'create', out, list], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const journal = join(out, 'data.mdb.journal');
    const watch = setInterval(() => {
      if (!existsSync(journal) || readFileSync(journal, 'utf8').split('\n').length < 3) return;
      clearInterval(watch);
      child.kill(name);
    }, 2);
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
      child.on('close', (...outcome) => resolve(outcome)),
    );
    clearInterval(watch);
    return `${code ?? signal}\n${errors}`;
  }

  test('goes on after SIGKILL and after Ctrl-C, to the same bytes', () =>
    withFolder(async (folder) => {
      const image = noisePng(new Random(3), 200, 110);
      const lines: string[] = [];
      for (let number = 0; number < 220; number++) {
        await writeFile(join(folder, `${number}.png`), image);
        lines.push(`${number}.png\tword ${number}`);
      }
      const list = join(folder, 'gt.txt');
      await writeFile(list, lines.join('\n'));
      await create(join(folder, 'whole'), list);
      const whole = await readFile(join(folder, 'whole/data.mdb'));

      expect(await ended(join(folder, 'killed'), list, 'SIGKILL')).toBe('SIGKILL\n');
      const killed = await create(join(folder, 'killed'), list);
      expect(killed.errors[0]).toMatch(/: 220 images, 15\.\d MB, continued from input \d\d\d$/);
      expect((await readFile(join(folder, 'killed/data.mdb'))).equals(whole)).toBe(true);

      if (process.platform === 'win32') return;
      const interrupted = join(folder, 'interrupted');
      expect(await ended(interrupted, list, 'SIGINT')).toBe(
        `130\n${interrupted} is unfinished; the same command continues it.\ninterrupted\n`,
      );
      const other = await create(interrupted, samplePath('labels.tsv'));
      expect(other.errors[0]).toMatch(/^\S+ is unfinished/);
      expect(other.errors[1]).toMatch(/made from other inputs\. Give the same inputs to continue it/);
      expect((await create(interrupted, list)).code).toBe(0);
      expect((await readFile(join(interrupted, 'data.mdb'))).equals(whole)).toBe(true);
      expect(await readdir(interrupted)).toEqual(['data.mdb']);
    }));
});

describe('dataset inspect', () => {
  test('counts samples, lengths, characters and sizes', async () => {
    const { code, stdout } = await runCommand(['dataset', 'inspect', words, '--json']);
    expect(code).toBe(0);
    const { raw } = reference;
    const found = JSON.parse(stdout) as {
      samples: number;
      labels: {
        lengths: { length: number; count: number }[];
        characters: { character: string; count: number }[];
      };
      images: Record<'width' | 'height' | 'bytes', object> & { examined: number; unreadable: object[] };
    };
    expect(found.samples).toBe(60);
    const all = raw.map(({ label }) => Array.from(label)).flat();
    expect(found.labels.characters.reduce((sum, { count }) => sum + count, 0)).toBe(all.length);
    expect(found.labels.characters.find(({ character }) => character === 'é')!.count).toBe(
      all.filter((character) => character === 'é').length,
    );
    expect(found.labels.lengths[0]).toEqual({
      length: 1,
      count: raw.filter(({ label }) => label.length === 1).length,
    });
    expect(found.labels).toMatchObject({
      fitting: {
        '36': raw.filter(({ label }) => /^[0-9a-z]+$/i.test(label.replace('İ', '-'))).length,
        '94': raw.filter(({ label }) => /^[!-~]+$/.test(label)).length,
      },
    });
    expect(found.images.examined).toBe(60);
    expect(found.images.unreadable).toEqual([]);
    const spread = (values: number[]): object => {
      values.sort((a, b) => a - b);
      return { least: values[0], median: values[30], most: values[59] };
    };
    expect(found.images.width).toEqual(spread(raw.map(({ size_wh: [width] }) => width)));
    expect(found.images.height).toEqual(spread(raw.map(({ size_wh: [, height] }) => height)));
    expect(found.images.bytes).toEqual(spread(raw.map(({ image_bytes: bytes }) => bytes)));
  });

  test('as text, of many data sets, with what is wrong', () =>
    withFolder(async (folder) => {
      const entries = wordEntries(['fine', 'bad\u202e']);
      entries['image-000000001'] = noisePng(new Random(2), 30, 20);
      entries['num-samples'] = '3';
      await writeLmdb(folder, entries);
      const { code, stdout, errors } = await runCommand(['dataset', 'inspect', folder, words]);
      expect(code).toBe(0);
      expect(errors).toEqual([`${folder}#2: not an image: expected JPEG, PNG, WebP, GIF, TIFF or AVIF.`]);
      expect(stdout).toMatch(/^data set +kind +records +kept +dropped\n/);
      expect(stdout).toMatch(/\nwords +lmdb +60 +60 +0\nall +63 +62 +1\n/);
      expect(stdout).toMatch(/\n +1 +has no label +\S+#3\n/);
      expect(stdout).toMatch(/\n +in 94 characters +\d+\.\d %\n/);
      expect(stdout).toContain('U+0020 7');
      expect(stdout).toContain('U+202E 1');
      expect(stdout).not.toContain('\u202e');
      expect(stdout).toMatch(/ {2}1 cannot be decoded\n/);
      const few = await runCommand(['dataset', 'inspect', words, '--images', '7']);
      expect(few.stdout).toContain('images (7 of 60 decoded, evenly spread)');
    }));

  test('shows images on a page that needs nothing else and believes no label', () =>
    withFolder(async (folder) => {
      const hostile = '<script>alert("1")</script>&amp;\u0007';
      const entries = wordEntries([hostile, 'bad']);
      entries['image-000000001'] = noisePng(new Random(2), 3000, 20);
      await writeLmdb(folder, entries);
      const page = join(folder, 'sheet.html');
      const { code, errors } = await runCommand(['dataset', 'inspect', folder, '--html', page, '--json']);
      expect(code).toBe(0);
      expect(errors).toEqual([`${page} shows images and labels.`]);
      const html = await readFile(page, 'utf8');
      expect(html).toContain('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;\ufffd</b>');
      expect(html).not.toContain('<script');
      expect(html).toMatch(/<span class="fault">not an image: /);
      expect(html.match(/<img alt="" src="data:image\/jpeg;base64,[A-Za-z0-9+/=]+">/g)).toHaveLength(1);
      expect(html).not.toMatch(/(src|href)="(?!data:)/);
      expect(html).toContain('2 of 2 images');
      expect((await readdir(folder)).sort()).toEqual(['data.mdb', 'sheet.html']);
      const many = wordEntries(Array.from({ length: 1000 }, (_, at) => `word${at}`));
      await writeLmdb(join(folder, 'many'), many);
      await runCommand([
        'dataset',
        'inspect',
        join(folder, 'many'),
        '--images',
        '0',
        '--html',
        page,
        '--quiet',
      ]);
      const shown = [...(await readFile(page, 'utf8')).matchAll(/<b dir="auto">word(\d+)</g)].map((match) =>
        Number(match[1]),
      );
      expect(shown).toHaveLength(240);
      expect(shown[0]).toBe(0);
      expect(shown.at(-1)).toBeGreaterThan(990);
    }));

  test('writes over no list', () =>
    withFolder(async (folder) => {
      const list = join(folder, 'gt.txt');
      await writeFile(list, 'a.png\tone\n');
      const { code, errors } = await runCommand(['dataset', 'inspect', folder, '--html', list]);
      expect(code).toBe(1);
      expect(errors[0]).toMatch(/Expected a file that ends in \.html/);
      expect(await readFile(list, 'utf8')).toBe('a.png\tone\n');
    }));

  test('says in one line what is no data set', () =>
    withFolder(async (folder) => {
      const { code, stdout, errors } = await runCommand(['dataset', 'inspect', folder]);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(errors).toEqual([
        `error: ${folder}: no data set here or below: expected data.mdb, gt.txt, labels.tsv, labels.jsonl`,
      ]);
    }));
});

describe('dataset filter', () => {
  const filter = (...args: readonly string[]): ReturnType<typeof runCommand> =>
    runCommand(['dataset', 'filter', ...args]);

  test('writes the labels that pass as they are, and tells why others do not', () =>
    withFolder(async (folder) => {
      const out = join(folder, 'set');
      const args = [out, words, '--charset', '36', '--min-length', '2', '--max-length', '5', '--quiet'];
      const { code, stdout, errors } = await filter(...args);
      expect({ code, errors }).toEqual({ code: 0, errors: [] });
      const kept = reference.raw.filter(({ label }) => /^[0-9A-Za-z]{2,5}$/.test(label));
      const set = await openDataSets([out], { filter: keepLabel });
      for (const [index, { label, image_bytes: bytes }] of kept.entries()) {
        const sample = await set.sample(index);
        expect([sample.label, sample.image.length]).toEqual([label, bytes]);
      }
      expect(set.length).toBe(kept.length);
      await set.close();
      expect(stdout).toMatch(new RegExp(`^words +lmdb +60 +${kept.length} +${60 - kept.length}$`, 'm'));
      const short = reference.raw.filter(({ label }) => label.length < 2).length;
      expect(stdout).toMatch(/^ +\d+ +more than 5 characters +\S+#11 "e-mail"$/m);
      expect(stdout).toMatch(/^ +\d+ +characters outside the charset +\S+#7 "STOP!"$/m);
      expect(stdout).toMatch(new RegExp(`^ +${short} +fewer than 2 characters +\\S+#8 "a"$`, 'm'));
    }));

  test('by pattern, and with the report as JSON', () =>
    withFolder(async (folder) => {
      const out = join(folder, 'set');
      const { code, stdout } = await filter(out, words, '--match', '^[0-9:]+$', '--json', '--quiet');
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        folder: out,
        images: 4,
        leftOut: 0,
        sets: [{ records: 60, kept: 4, dropped: [{ reason: 'does not match /^[0-9:]+$/u', count: 56 }] }],
      });
      const none = await filter(join(folder, 'none'), words, '--match', 'nothing like it');
      expect(none.code).toBe(1);
      expect(none.errors).toEqual([`${join(folder, 'none')}: nothing was written, no image could be taken`]);
      expect(existsSync(join(folder, 'none', 'data.mdb'))).toBe(false);
    }));

  test('refuses lengths that no label has', () =>
    withFolder(async (folder) => {
      const { code, errors } = await filter(
        join(folder, 'set'),
        words,
        '--min-length',
        '5',
        '--max-length',
        '3',
      );
      expect([code, errors]).toEqual([
        1,
        ['error: --min-length 5 is more than --max-length 3: no label would be kept.'],
      ]);
      expect(existsSync(join(folder, 'set'))).toBe(false);
    }));

  test('leaves out records without an image', () =>
    withFolder(async (folder) => {
      const entries = wordEntries(['a', 'b', 'c']);
      delete entries['image-000000002'];
      entries['more'] = '';
      await mkdir(join(folder, 'in'));
      const path = await writeLmdb(join(folder, 'in'), entries);
      const { code, errors } = await filter(join(folder, 'out'), path);
      expect(code).toBe(2);
      expect(errors[0]).toBe(`${join(folder, 'in')}#2: has no image-000000002, though num-samples counts it`);
    }));

  test.each([
    [['--match', '('], /option '--match <pattern>' argument '\(' is invalid\. Invalid regular expression/],
    [['--charset', 'aa'], /"a" occurs twice/],
    [['--max-length', '0'], /Expected a whole number from 1/],
  ])('refuses %j', async (args, message) => {
    const { code, errors } = await filter('/nowhere/set', words, ...args);
    expect(code).toBe(1);
    expect(errors[0]).toMatch(message);
  });
});
