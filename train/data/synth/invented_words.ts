/** Words that sound English and are none, as names of shops and people do. */
import type { RandomSource } from '../rand_augment_noise.js';
import { pick } from './choices.js';

const shortest = 3;
const longest = 11;

/** Letters that follow each pair of letters in a list of words; `^` stands for the beginning, `$` for the end. */
export type LetterSuccession = ReadonlyMap<string, string>;

export function letterSuccession(words: readonly string[]): LetterSuccession {
  const following = new Map<string, string[]>();
  for (const word of words) {
    const letters = `^^${word.toLowerCase().replace(/[^a-z]/g, '')}$`;
    for (let i = 2; i < letters.length; i++) {
      const pair = letters.slice(i - 2, i);
      const list = following.get(pair);
      if (list) list.push(letters[i]!);
      else following.set(pair, [letters[i]!]);
    }
  }
  return new Map(Array.from(following, ([pair, letters]) => [pair, letters.join('')]));
}

export function inventedWord(random: RandomSource, succession: LetterSuccession): string {
  let word = '';
  let pair = '^^';
  while (word.length < longest) {
    const letter = pick(random, succession.get(pair) ?? '$');
    if (letter === '$') {
      if (word.length >= shortest) break;
      [word, pair] = ['', '^^'];
      continue;
    }
    word += letter;
    pair = pair[1]! + letter;
  }
  return word;
}
