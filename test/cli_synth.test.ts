/** The command line of rendering words: files and LMDB, going on after an interruption, and what it refuses. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { decodeImage } from '../model/decode_image.js';
import { keepLabel, openDataSets } from '../train/data/index.js';
import { type CommandResult, runCommand } from './support/command.js';

const root = mkdtempSync(join(tmpdir(), 'clip4str-synth-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const synth = (folder: string, ...args: string[]): Promise<CommandResult> =>
  runCommand(['synth', join(root, folder), '--threads', '1', ...args]);

async function words(folder: string): Promise<{ label: string; size: string }[]> {
  const set = await openDataSets([join(root, folder)], { filter: keepLabel });
  try {
    return await Promise.all(
      Array.from({ length: set.length }, async (_, index) => {
        const { image, label } = await set.sample(index);
        const { width, height } = await decodeImage(image);
        return { label, size: `${width}x${height}` };
      }),
    );
  } finally {
    await set.close();
  }
}

test('files and LMDB hold the same words, whatever a run is continued from', async () => {
  const files = await synth('files', '--count', '12', '--seed', '4', '--format', 'png');
  expect(files.code).toBe(0);
  expect(files.stdout).toMatch(/12 images, 12 of them new: \d+ a second, \d+ a second and thread/);
  const more = await synth('files', '--count', '20', '--seed', '4', '--format', 'png');
  expect(more.stdout).toMatch(/20 images, 8 of them new/);
  expect(more.errors.join('\n')).toMatch(/has 12 images already/);

  const lmdb = await synth('lmdb', '--count', '20', '--seed', '4', '--lmdb', '--format', 'png');
  expect(lmdb.stdout).toMatch(/20 images, 20 of them new/);
  const made = await words('files');
  expect(made).toHaveLength(20);
  expect(await words('lmdb')).toEqual(made);
}, 120_000);

test('LMDB goes on after an interruption, to the same bytes', async () => {
  // Several seconds' work on any machine, of which each second is kept.
  const args = ['--count', '1200', '--lmdb'];
  const journal = join(root, 'parts', 'data.mdb.journal');
  expect((await synth('whole', ...args)).code).toBe(0);
  let watched = false;
  const interrupted = await runCommand(['synth', join(root, 'parts'), '--threads', '1', ...args], {
    onError: (child, stderr) => {
      if (watched || !stderr.includes('font families')) return;
      // A second interruption would end it at once.
      watched = true;
      const watch = setInterval(() => {
        const lines = existsSync(journal) ? readFileSync(journal, 'utf8').split('\n').length : 0;
        // A header, what is kept, and nothing after the last newline.
        if (lines > 2) child.kill('SIGINT');
        if (lines > 2 || child.exitCode !== null) clearInterval(watch);
      }, 50);
    },
  });
  expect(interrupted.code).toBe(130);
  const rest = await synth('parts', ...args);
  const [, rendered] = /1200 images, (\d+) of them new/.exec(rest.stdout)!;
  expect(Number(rendered)).toBeLessThan(1200);
  const [whole, parts] = ['whole', 'parts'].map((name) => readFileSync(join(root, name, 'data.mdb')));
  expect(Buffer.compare(whole!, parts!)).toBe(0);

  const again = await synth('whole', '--count', '1201', '--lmdb');
  expect(again.code).toBe(1);
  expect(again.errors.join()).toMatch(/whole: holds a data set already; name another folder/);
}, 240_000);

test('refuses folders of something else, and other options', async () => {
  const other = join(root, 'photos');
  mkdirSync(other);
  writeFileSync(join(other, 'holiday.jpg'), '');
  const foreign = await synth('photos');
  expect([foreign.code, foreign.errors.join()]).toEqual([1, expect.stringMatching(/not made by synth/)]);
  expect((await synth('mine', '--count', '1')).code).toBe(0);
  const seed = await synth('mine', '--count', '2', '--seed', '9');
  expect([seed.code, seed.errors.join()]).toEqual([1, expect.stringMatching(/made with seed 0, not 9/)]);
  const container = await synth('mine', '--count', '2', '--lmdb');
  expect(container.errors.join()).toMatch(/made with container files, not lmdb/);
  const nothing = await runCommand(['synth']);
  expect(nothing.errors).toEqual(['error: no folder given: name the one that the images go to.']);
}, 120_000);
