/** What a configuration's data is found to be: stored words, rendered ones, or both. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { presetConfiguration } from '../train/configuration.js';
import { openDataSource } from '../train/data/data_source.js';
import { type RunData, findRunData } from '../train/run_data.js';
import { samples } from './support/small_run.js';

const root = mkdtempSync(join(tmpdir(), 'clip4str-run-data-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

for (const [folder, count] of [
  ['train/real', 5],
  ['train/more', 2],
  ['val/some', 3],
] as const) {
  const path = join(root, folder);
  mkdirSync(path, { recursive: true });
  const own = samples.slice(0, count);
  own.forEach(({ image }, i) => writeFileSync(join(path, `${i}.png`), image as Uint8Array));
  writeFileSync(join(path, 'gt.txt'), own.map(({ label }, i) => `${i}.png\t${label}\n`).join(''));
}
const words = join(root, 'words.txt');
writeFileSync(words, 'Sign\nlonger-than-the-limit-of-25\n');

const find = (...settings: string[]): Promise<RunData> => findRunData(presetConfiguration('tiny', settings));

async function contents({ source }: RunData): Promise<{ labels: string[]; sources: string[] }> {
  const set = await openDataSource(source);
  const all = await Promise.all(Array.from({ length: set.length }, async (_, i) => set.sample(i)));
  await set.close?.();
  return { labels: all.map(({ label }) => label), sources: all.map(({ source: name }) => name) };
}

const ownWords = [`data.synthetic.words=${words}`, 'data.synthetic.words_share=1'];

test('folders below train, one of them twice', async () => {
  const data = await find(`data.root_dir=${root}`, 'data.train_dir=[real, more, more]');
  expect((await contents(data)).labels).toHaveLength(9);
  expect(data.reports.map(({ kept }) => kept)).toEqual([5, 2, 2]);
  expect(data.validation.map(({ name }) => name)).toEqual(['some']);
});

test('validation sets are looked through; one of which nothing is left is named', async () => {
  const own = join(root, 'checked');
  for (const [folder, list] of [
    ['train/real', '0.png\tword\n'],
    ['val/good', '0.png\tword\n1.png\t\u00df\n'],
    ['val/bad', `0.png\t${'x'.repeat(26)}\n1.png\t\u00df\n2.png\t\u00e9\u4e00\n`],
    ['val/none', ''],
  ] as const) {
    mkdirSync(join(own, folder), { recursive: true });
    writeFileSync(join(own, folder, 'gt.txt'), list);
    for (let i = 0; i < 3; i++) writeFileSync(join(own, folder, `${i}.png`), samples[i]!.image as Uint8Array);
  }
  const data = await find(`data.root_dir=${own}`, 'data.train_dir=real', 'data.normalize_unicode=false');
  expect(data.validation.map(({ name }) => name)).toEqual(['good']);
  expect(data.validationReports.map(({ name, records, kept }) => [name, records, kept])).toEqual([
    ['val/bad', 3, 0],
    ['val/good', 2, 1],
    ['val/none', 0, 0],
  ]);
  expect(data.notes).toEqual([
    expect.stringMatching(
      /^val\/bad: none of its 3 samples is left \(no character of the charset: 2, as ".*"; more than 25 characters: 1.*nothing is validated on it/,
    ),
    'val/none: it is empty: nothing is validated on it.',
  ]);
});

test('a val folder without files is none', async () => {
  const own = join(root, 'unvalidated');
  mkdirSync(join(own, 'train/real'), { recursive: true });
  writeFileSync(join(own, 'train/real/gt.txt'), '0.png\tword\n');
  writeFileSync(join(own, 'train/real/0.png'), samples[0]!.image as Uint8Array);
  mkdirSync(join(own, 'val/some/empty'), { recursive: true });
  writeFileSync(join(own, 'val/.keep'), '');
  const data = await find(`data.root_dir=${own}`, 'data.train_dir=real');
  expect([data.validation, data.validationReports, data.notes]).toEqual([[], [], []]);
  writeFileSync(join(own, 'val/some/word.png'), '');
  await expect(find(`data.root_dir=${own}`, 'data.train_dir=real')).rejects.toThrow(/val: no data set/);
});

test('rendered words beside stored ones', async () => {
  const data = await find(`data.root_dir=${root}`, 'data.synthetic.count=4', ...ownWords);
  const { labels, sources } = await contents(data);
  expect(sources.slice(0, 5).every((source) => source.includes('real'))).toBe(true);
  expect(sources.slice(5)).toEqual([0, 1, 2, 3].map((i) => `synthetic word ${i} of seed 0`));
  expect(labels.slice(5).map((label) => label.toLowerCase())).toEqual(['sign', 'sign', 'sign', 'sign']);
  expect(data.reports.map(({ kind, kept }) => [kind, kept])).toEqual([
    ['list', 5],
    ['synthetic', 4],
  ]);
  expect(data.notes.join()).toMatch(/1 longer than 25 characters/);
  const set = await openDataSource(data.source);
  expect(() => set.sample(9)).toThrow(/sample 9 of 9/);
  await set.close?.();
});

test('rendered words alone, without any folder', async () => {
  const data = await find('data.synthetic.count=3', 'data.synthetic.seed=8');
  expect((await contents(data)).sources[2]).toBe('synthetic word 2 of seed 8');
  expect(data.validation).toEqual([]);
  const empty = await find(`data.root_dir=${root}`, 'data.train_dir=[]', 'data.synthetic.count=1');
  expect((await contents(empty)).labels).toHaveLength(1);
  expect(empty.validation).toHaveLength(1);
});

test('nothing at all', async () => {
  await expect(find()).rejects.toThrow(/data\.root_dir is not set/);
  await expect(find(`data.root_dir=${root}`, 'data.train_dir=[]')).rejects.toThrow(/nothing to train on/);
  await expect(find(`data.root_dir=${root}`, 'data.train_dir=none')).rejects.toThrow(/none: no such folder/);
  const fonts = ['data.synthetic.count=1', `data.synthetic.fonts=${join(root, 'nofonts')}`];
  await expect(find(...fonts)).rejects.toThrow(/nofonts/);
});
