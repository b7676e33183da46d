/** What is written: mostly words, beside them the numbers, prices, dates and codes that streets and shops are full of. */
import type { RandomSource } from '../rand_augment_noise.js';
import { between, chance, integer, pick, pickWeighted, sign } from './choices.js';
import { type LetterSuccession, inventedWord } from './invented_words.js';
import { type EnglishWords, englishWord } from './words.js';

export interface TextSources {
  readonly english: EnglishWords;
  readonly succession: LetterSuccession;
  /** The user's own, written as they are. */
  readonly own: readonly string[];
  /** How much of all text is the user's own, 0 to 1. */
  readonly ownShare: number;
}

const punctuation = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~';
const digits = '0123456789';
const capitals = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
const anyCharacter = digits + capitals + capitals.toLowerCase() + punctuation;

type Kind = (random: RandomSource, sources: TextSources) => string;

/** Shares in percent, after the labels of the training sets of IIIT5K, SVT and ICDAR 2015. */
const kinds: readonly (readonly [number, Kind])[] = [
  [58, (random, sources) => cased(random, englishWord(random, sources.english))],
  [10, (random, sources) => cased(random, inventedWord(random, sources.succession))],
  [7, (random, sources) => punctuated(random, cased(random, englishWord(random, sources.english)))],
  [7, (random) => String(integer(random, 0, 10 ** integer(random, 1, 4) - 1))],
  [1.5, (random) => characters(random, digits, integer(random, 3, 9))],
  [2.5, price],
  [1.5, date],
  [1, time],
  [1, (random) => `${integer(random, 1, 100)}%`],
  [1, (random) => `${sign(random) > 0 ? '' : '-'}${integer(random, 1, 99)}.${integer(random, 0, 99)}`],
  [1, ordinal],
  [1, telephone],
  [3, code],
  [1, address],
  [1, compound],
  [1.5, (random) => characters(random, capitals, integer(random, 1, 4))],
  [1.5, (random) => characters(random, anyCharacter, integer(random, 1, 7))],
];

/** A text by chance, without spaces except in the user's own. */
export function randomText(random: RandomSource, sources: TextSources): string {
  if (sources.own.length > 0 && chance(random, sources.ownShare)) return pick(random, sources.own);
  return pickWeighted(random, kinds)(random, sources);
}

/** A plain word, for text that is only seen in passing. */
export function passingWord(random: RandomSource, { english }: TextSources): string {
  return cased(random, englishWord(random, english));
}

function cased(random: RandomSource, word: string): string {
  return pickWeighted<(word: string) => string>(random, [
    [52, (text) => text.toUpperCase()],
    [25, titled],
    [19, (text) => text.toLowerCase()],
    [1.5, (text) => camelled(random, text)],
    [2.5, (text) => anyCase(random, text)],
  ])(word);
}

function titled(word: string): string {
  return word.slice(0, 1).toUpperCase() + word.slice(1).toLowerCase();
}

/** As in `McKinney` and `PayLess`. */
function camelled(random: RandomSource, word: string): string {
  const at = integer(random, 1, Math.max(1, word.length - 2));
  return titled(word.slice(0, at)) + titled(word.slice(at));
}

function anyCase(random: RandomSource, word: string): string {
  return Array.from(word, (letter) =>
    chance(random, 0.5) ? letter.toUpperCase() : letter.toLowerCase(),
  ).join('');
}

function punctuated(random: RandomSource, word: string): string {
  return pickWeighted(random, [
    [24, `${word}.`],
    [12, `${word},`],
    [12, `${word}!`],
    [8, `${word}'s`],
    [4, `${word}'S`],
    [6, `${word}?`],
    [6, `${word}:`],
    [3, `${word};`],
    [5, `"${word}"`],
    [3, `"${word}`],
    [3, `${word}"`],
    [4, `(${word})`],
    [2, `[${word}]`],
    [2, `'${word}'`],
    [3, `#${word}`],
    [2, `@${word}`],
    [2, `*${word}`],
    [2, `-${word}`],
    [2, `&${word}`],
    [2, `${word}...`],
    [1, `${word}/`],
    [1, `<${word}>`],
    [1, `~${word}~`],
  ]);
}

function compound(random: RandomSource, sources: TextSources): string {
  const [first, second] = [passingWord(random, sources), passingWord(random, sources)];
  return first + pick(random, ['-', '-', '/', '&', '.', '+', '_', "'n'"]) + second;
}

function price(random: RandomSource): string {
  const whole = integer(random, 0, 10 ** integer(random, 1, 3));
  const cents = pick(random, ['99', '95', '50', '00', '49', String(integer(random, 10, 98))]);
  const number = pickWeighted(random, [
    [5, `${whole}.${cents}`],
    [3, String(whole)],
    [1, `${whole},${cents}`],
    [1, `${integer(random, 1, 99)},${characters(random, digits, 3)}`],
  ]);
  return pickWeighted(random, [
    [7, `$${number}`],
    [1, `${number}$`],
    [1, `${number}/-`],
    [1, `Rs.${number}`],
  ]);
}

const months = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'] as const;

function date(random: RandomSource): string {
  const [day, month] = [integer(random, 1, 31), integer(random, 1, 12)];
  const year = integer(random, 1850, 2035);
  const two = (value: number): string => String(value % 100).padStart(2, '0');
  const between = pick(random, ['/', '.', '-']);
  return pickWeighted(random, [
    [5, String(year)],
    [2, [two(day), two(month), year].join(between)],
    [1, [month, day, two(year)].join(between)],
    [1, [year, two(month), two(day)].join('-')],
    [1, `${day}${between}${month}`],
    [1, `${year}-${two(year + integer(random, 1, 9))}`],
    [1, cased(random, months[month - 1]!)],
    [1, `${day}${months[month - 1]!}`],
    [1, `'${two(year)}`],
  ]);
}

function time(random: RandomSource): string {
  const [hour, minute] = [integer(random, 0, 23), String(integer(random, 0, 59)).padStart(2, '0')];
  return pickWeighted(random, [
    [4, `${hour}:${minute}`],
    [1, `${(hour % 12) + 1}:${minute}${pick(random, ['am', 'pm', 'AM', 'PM'])}`],
    [1, `${(hour % 12) + 1}${pick(random, ['am', 'pm', 'AM', 'PM'])}`],
    [1, `${integer(random, 6, 11)}-${integer(random, 4, 10)}`],
    [1, `${hour}.${minute}`],
  ]);
}

function ordinal(random: RandomSource): string {
  const value = integer(random, 1, chance(random, 0.6) ? 20 : 150);
  const suffix = Math.floor(value / 10) % 10 === 1 ? 'th' : (['th', 'st', 'nd', 'rd'][value % 10] ?? 'th');
  return `${value}${chance(random, 0.5) ? suffix : suffix.toUpperCase()}`;
}

function telephone(random: RandomSource): string {
  const part = (length: number): string => characters(random, digits, length);
  return pickWeighted(random, [
    [3, `${part(3)}-${part(4)}`],
    [1, `(${part(3)})`],
    [1, `+${part(2)}`],
    [2, `${part(3)}-${part(3)}-${part(4)}`],
    [1, part(4) + part(4)],
    [1, `${part(3)}.${part(4)}`],
  ]);
}

/** Rooms, number plates, models, flights. */
function code(random: RandomSource): string {
  const letters = (length: number): string => characters(random, capitals, length);
  const numbers = (length: number): string => characters(random, digits, length);
  return pickWeighted(random, [
    [3, letters(1) + numbers(integer(random, 1, 3))],
    [2, letters(2) + numbers(integer(random, 2, 4))],
    [2, letters(3) + numbers(integer(random, 3, 4))],
    [1, numbers(integer(random, 1, 3)) + letters(1)],
    [1, `${letters(integer(random, 1, 3))}-${numbers(integer(random, 1, 4))}`],
    [1, `${letters(2)}${numbers(2)}${letters(3)}`],
    [1, `#${numbers(integer(random, 1, 3))}-${numbers(2)}`],
    [1, `${numbers(2)}${letters(2)}`],
    [1, characters(random, capitals + digits, integer(random, 3, 8))],
  ]);
}

function address(random: RandomSource, sources: TextSources): string {
  const name = inventedWord(random, sources.succession);
  const end = pick(random, ['.com', '.com', '.org', '.net', '.co.uk', '.de']);
  return pickWeighted(random, [
    [4, `www.${name}${end}`],
    [4, `${name}${end}`],
    [2, `@${name}`],
    [1, `${name}@${englishWord(random, sources.english)}${end}`],
    [1, cased(random, `${name}${end}`)],
  ]);
}

function characters(random: RandomSource, from: string, length: number): string {
  return Array.from({ length }, () => from[Math.floor(between(random, 0, from.length))]!).join('');
}
