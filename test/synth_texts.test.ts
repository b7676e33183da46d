import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { RandomGenerator } from '../engine/random.js';
import { letterSuccession } from '../train/data/synth/invented_words.js';
import { type TextSources, randomText } from '../train/data/synth/texts.js';
import { englishWords, readWordList } from '../train/data/synth/words.js';
import { withFolder } from './support/weights_files.js';

const english = englishWords();
const sources: TextSources = {
  english,
  succession: letterSuccession(english[0]![1]),
  own: [],
  ownShare: 0.5,
};

function texts(count: number, from = sources): string[] {
  const random = new RandomGenerator(3);
  return Array.from({ length: count }, () => randomText(random, from));
}

describe('texts', () => {
  const many = texts(20_000);
  const share = (pattern: RegExp): number => many.filter((text) => pattern.test(text)).length / many.length;

  test('are printable ASCII without spaces, and never empty', () => {
    for (const text of many) expect(text).toMatch(/^[!-~]+$/);
  });

  test('have every character of the 94 there are', () => {
    expect(new Set(many.join('')).size).toBe(94);
  });

  test('are made up as real labels are: mostly capitals, then titles, small letters and numbers', () => {
    expect(share(/^[A-Z]+$/)).toBeGreaterThan(0.33);
    expect(share(/^[A-Z]+$/)).toBeLessThan(0.5);
    expect(share(/^[A-Z][a-z]+$/)).toBeGreaterThan(0.13);
    expect(share(/^[a-z]+$/)).toBeGreaterThan(0.1);
    expect(share(/^\d+$/)).toBeGreaterThan(0.06);
    expect(share(/\d/)).toBeLessThan(0.3);
    expect(share(/[^a-z\d]/i)).toBeGreaterThan(0.1);
    expect(share(/^.{2,8}$/)).toBeGreaterThan(0.65);
  });

  test('take their share from the user, as it is written', () => {
    const own = ['Curry House', 'no. 7'];
    const mixed = texts(2000, { ...sources, own, ownShare: 0.3 });
    const taken = mixed.filter((text) => own.includes(text)).length / mixed.length;
    expect(taken).toBeGreaterThan(0.25);
    expect(taken).toBeLessThan(0.35);
    for (const text of texts(100, { ...sources, own, ownShare: 1 })) expect(own).toContain(text);
  });
});

describe('word lists', () => {
  const readText = (content: string | Uint8Array, longest = 25): ReturnType<typeof readWordList> =>
    withFolder(async (folder) => {
      const path = join(folder, 'words.txt');
      await writeFile(path, content);
      return readWordList(path, longest);
    });

  test('are read a line at a time, whatever ends the lines', async () => {
    const list = await readText('\ufeffone\r\n  two words \n\n\rthree\n\u00e9t\u00e9\ne\u0301');
    expect(list).toEqual({
      words: ['one', 'two words', 'three', 'été', 'é'],
      tooLong: 0,
      notText: 0,
      surplus: false,
    });
  });

  test('leave out lines that are no labels, and say how many', async () => {
    const lines = [
      'good',
      'bell\u0007',
      'zero\u200bwidth',
      'turned\u202e',
      'x'.repeat(26),
      '\u0000',
      'tab\tin',
      'last',
    ];
    const list = await readText(lines.join('\n'));
    expect(list).toMatchObject({ words: ['good', 'last'], tooLong: 1, notText: 5 });
    expect(await readText(Uint8Array.of(0x61, 0xff, 0xfe, 0x0a, 0x62))).toMatchObject({
      words: ['b'],
      notText: 1,
    });
  });

  test('may have lines of ten million characters, with or without an end', async () => {
    const long = 'a'.repeat(10_000_000);
    expect(await readText(`one\n${long}\ntwo\n${long}`)).toMatchObject({ words: ['one', 'two'], tooLong: 2 });
  });

  test('count characters, not their halves', async () => {
    const face = '\u{1f600}';
    expect(await readText(face.repeat(5), 5)).toMatchObject({ words: [face.repeat(5)], tooLong: 0 });
    expect(await readText(face.repeat(6), 5)).toMatchObject({ words: [], tooLong: 1 });
  });

  test('must be files', async () => {
    await expect(readWordList('/nowhere/words.txt', 25)).rejects.toThrow(/words\.txt does not exist/);
    await withFolder(async (folder) => {
      await expect(readWordList(folder, 25)).rejects.toThrow(/is a folder, not a file/);
    });
    if (process.platform !== 'win32') {
      await expect(readWordList('/dev/zero', 25)).rejects.toThrow(/is a device/);
    }
  });
});
