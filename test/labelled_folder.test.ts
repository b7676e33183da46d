/** Rendered words on a full disk. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { LabelledFolder } from '../train/data/synth/index.js';

const root = mkdtempSync(join(tmpdir(), 'clip4str-labelled-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const onLinux = process.platform === 'linux' ? test : test.skip;

onLinux('a full disk is said with the file and what to do', async () => {
  mkdirSync(join(root, '00000'));
  symlinkSync('/dev/full', join(root, '00000', '000000001.jpg'));
  const folder = await LabelledFolder.open(root, 'jpg');
  await folder.write(0, new Uint8Array(8), 'one');
  await expect(folder.write(1, new Uint8Array(8), 'two')).rejects.toThrow(
    `${join(root, '00000', '000000001.jpg')}: cannot be written: the disk is full. Make room; the same command`,
  );
  await folder.pause();
  expect(readFileSync(join(root, 'labels.tsv'), 'utf8')).toBe('00000/000000000.jpg\tone\n');
});
