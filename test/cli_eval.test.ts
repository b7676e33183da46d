/** `eval`: the original's table over labelled sets. */
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { evaluationPage } from '../train/evaluation_page.js';
import { runCommand, samplePath } from './support/command.js';
import { withFolder } from './support/weights_files.js';

const evaluate = (...args: readonly string[]): ReturnType<typeof runCommand> =>
  runCommand(['eval', '--device', 'software', '--quiet', ...args]);

const labels = new Map(
  readFileSync(samplePath('labels.tsv'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t') as [string, string]),
);

/** Samples as a set of a root, with labels of its own where given. */
async function makeSet(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(folder, { recursive: true });
  const lines: string[] = [];
  for (const [file, label] of Object.entries(files)) {
    await copyFile(samplePath(file), join(folder, file));
    lines.push(`${file}\t${label}`);
  }
  await writeFile(join(folder, 'labels.tsv'), `${lines.join('\n')}\n`);
}

describe('eval', () => {
  test('reads all sets below test/, combined by their samples', () =>
    withFolder(async (root) => {
      await makeSet(join(root, 'test', 'signs'), {
        'exit.png': 'Ex-It!',
        'hotel.png': 'HOTEL',
        'number.png': '---',
      });
      await makeSet(join(root, 'test', 'wrong'), { 'market.png': 'marked' });
      const page = join(root, 'page.html');
      const { code, stdout } = await evaluate('--data', root, '--format', 'json', '--errors', '--html', page);
      expect(code).toBe(0);
      const { sets, combined, errors } = JSON.parse(stdout) as Record<string, Record<string, unknown>[]>;
      // A label of nothing but dashes has no character to compare, and is left out.
      expect(sets).toMatchObject([
        { name: 'signs', samples: 2, accuracy: 100, ned: 100, labelLength: 4.5 },
        { name: 'wrong', samples: 1, accuracy: 0, labelLength: 6 },
      ]);
      expect((sets![1]!.ned as number).toFixed(3)).toBe((100 - 100 / 6).toFixed(3));
      expect(combined).toMatchObject({ samples: 3 });
      expect((combined as unknown as { accuracy: number }).accuracy).toBeCloseTo(200 / 3);
      expect(errors).toEqual([
        expect.objectContaining({ set: 'wrong', label: 'marked', text: 'market' }) as unknown,
      ]);
      const html = await readFile(page, 'utf8');
      expect(html).toContain('<td>signs</td><td>2</td><td>100.00</td>');
      expect(html).toContain('<dd class="read" dir="auto">market</dd>');
      expect(html.match(/data:image\/jpeg/g)).toHaveLength(1);
    }));

  test('the page tells how many are wrong, also where it shows fewer', async () => {
    const result = { name: 'set', samples: 9, accuracy: 0, ned: 0, confidence: 50, labelLength: 4 };
    const image = readFileSync(samplePath('exit.png'));
    const reading = { source: 'a', label: 'b', text: 'c', confidence: 0.5 };
    const wrong = [{ ...reading, image }, reading];
    const some = await evaluationPage('model', [{ result, wrong, wrongCount: 9, unreadable: [] }]);
    expect(some).toContain('<h2>set: 9 read wrong, the first 1 shown</h2>');
    const all = await evaluationPage('model', [
      { result, wrong: wrong.slice(0, 1), wrongCount: 1, unreadable: [] },
    ]);
    expect(all).toContain('<h2>set: 1 read wrong</h2>');
  });

  test('compares in other characters, and takes chosen sets alone', () =>
    withFolder(async (root) => {
      await makeSet(join(root, 'test', 'cased'), {
        'exit.png': 'Exit',
        'hotel.png': labels.get('hotel.png')!,
      });
      await makeSet(join(root, 'test', 'other'), { 'market.png': 'MARKET' });
      const { stdout } = await evaluate(
        '--data',
        root,
        '--sets',
        'cased',
        '--charset',
        '94',
        '--format',
        'markdown',
      );
      expect(stdout).toContain('| cased    |         2 |    50.00 |');
      expect(stdout).not.toContain('other');
      const empty = await evaluate('--data', root, '--sets', ' ,');
      expect([empty.code, empty.errors.join()]).toEqual([1, expect.stringMatching(/Expected names of sets/)]);
      const labelled = join(root, 'test', 'cased', 'labels.tsv');
      const overwriting = await evaluate('--data', root, '--html', labelled);
      expect(overwriting.errors.join()).toMatch(/Expected a file that ends in \.html/);
      const unknown = await evaluate('--data', root, '--sets', 'cased,none');
      expect(unknown.code).toBe(1);
      expect(unknown.errors.join()).toMatch(/--sets none: not below .*test, which has cased, other/);
    }));

  test('takes a folder without test/ as one set, and tells of images that cannot be read', () =>
    withFolder(async (root) => {
      await makeSet(root, { 'exit.png': 'EXIT', 'hotel.png': 'HOTEL' });
      await writeFile(join(root, 'hotel.png'), 'no image');
      const { code, stdout, errors } = await evaluate('--data', root);
      expect(code).toBe(2);
      expect(stdout).toMatch(/words +1 +100\.00/);
      expect(errors).toEqual([expect.stringMatching(/hotel\.png.*: not an image/)]);
      const nothing = await evaluate('--data', join(root, 'gone'));
      expect(nothing).toMatchObject({ code: 1, stdout: '' });
      expect(nothing.errors).toEqual([expect.stringMatching(/gone: no such file or folder/)]);
    }));
});
