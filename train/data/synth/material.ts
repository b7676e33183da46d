/** What words are made from: fonts, word lists and photographs, gathered once and given to every thread. */
import { type Fault, type FontFamily, findFonts } from './fonts.js';
import { type Photograph, loadPhotographs } from './photographs.js';
import { readWordList } from './words.js';

/** Longest text unless told otherwise, in characters: what the models read. */
export const defaultLongestText = 25;

export interface SynthesisOptions {
  /** Folders of .ttf, .otf, .woff and .woff2 files in place of the fonts that come with the package. */
  readonly fonts?: readonly string[];
  /** Text files with a word or phrase a line, written as they are. */
  readonly words?: readonly string[];
  /** How much of all text comes from `words`, 0 to 1; 0.5 unless given. */
  readonly wordsShare?: number;
  /** Folder of images, parts of which become backgrounds. */
  readonly backgrounds?: string;
  /** Characters of the longest text, 1 to 100; 25 unless given. */
  readonly longestText?: number;
}

/** Plain data: it can be sent to threads. */
export interface SynthesisMaterial {
  readonly families: readonly FontFamily[];
  readonly ownWords: readonly string[];
  readonly ownShare: number;
  readonly photographs: readonly Photograph[];
  readonly longestText: number;
}

export interface GatheredMaterial {
  readonly material: SynthesisMaterial;
  /** Files that are not used, and why. */
  readonly faults: readonly Fault[];
  /** What else was left out, a sentence each. */
  readonly notes: readonly string[];
}

/**
 * Finds and checks what the options name.
 * @throws RangeError for an option out of range
 * @throws Error if a file or folder cannot be read, or there is no usable font, word or photograph where some are asked for
 */
export async function gatherMaterial(options: SynthesisOptions = {}): Promise<GatheredMaterial> {
  const { fonts = [], words = [], wordsShare = 0.5, longestText = defaultLongestText } = options;
  if (!(wordsShare >= 0 && wordsShare <= 1)) {
    throw new RangeError(`wordsShare is ${wordsShare}; expected a number from 0 to 1.`);
  }
  if (!(Number.isInteger(longestText) && longestText >= 1 && longestText <= 100)) {
    throw new RangeError(`longestText is ${longestText}; expected a whole number from 1 to 100.`);
  }
  const notes: string[] = [];
  const lists = await Promise.all(words.map((path) => usableWords(path, longestText, notes)));
  const listed = lists.flat();
  const found = await findFonts(fonts, new Set(listed.flatMap((word) => Array.from(word))));
  if (found.families.length === 0) {
    throw new Error(
      `no usable font in ${fonts.join(', ')}: ${found.faults.length} cannot be used` +
        `${found.faults[0] ? ` (${found.faults[0].name} ${found.faults[0].reason})` : ''}, ` +
        `${found.otherScripts} have no Latin letters. Expected .ttf, .otf, .woff or .woff2 files.`,
    );
  }
  const ownWords = drawableWords(listed, found.families, notes);
  const photographs =
    options.backgrounds === undefined ? undefined : await loadPhotographs(options.backgrounds);
  if (photographs && photographs.surplus > 0) {
    notes.push(
      `${options.backgrounds}: ${photographs.photographs.length} images fill the memory set aside for them, ` +
        `${photographs.surplus} are not used.`,
    );
  }
  return {
    material: {
      families: found.families,
      ownWords,
      ownShare: wordsShare,
      photographs: photographs?.photographs ?? [],
      longestText,
    },
    faults: [...found.faults, ...(photographs?.faults ?? [])],
    notes,
  };
}

/** Words of a list; what it holds beside them goes into the notes. */
async function usableWords(path: string, longest: number, notes: string[]): Promise<readonly string[]> {
  const list = await readWordList(path, longest);
  const leftOut = [
    list.tooLong > 0 ? `${list.tooLong} longer than ${longest} characters` : [],
    list.notText > 0 ? `${list.notText} with control characters or bytes that are no UTF-8` : [],
  ].flat();
  if (leftOut.length > 0) notes.push(`${path}: lines left out: ${leftOut.join(', ')}.`);
  if (list.surplus) notes.push(`${path}: only the first ${list.words.length} words are used.`);
  if (list.words.length === 0) throw new Error(`${path} holds no usable word; expected one a line.`);
  return list.words;
}

function drawableWords(words: readonly string[], families: readonly FontFamily[], notes: string[]): string[] {
  const known = new Set<number>();
  for (const { faces } of families) {
    for (const { codePoints } of faces) codePoints.forEach((codePoint) => known.add(codePoint));
  }
  const drawable = words.filter((word) =>
    Array.from(word).every((letter) => known.has(letter.codePointAt(0)!)),
  );
  const lost = words.length - drawable.length;
  if (lost > 0) notes.push(`${lost} words have characters that none of the fonts has, and are left out.`);
  if (words.length > 0 && drawable.length === 0) {
    throw new Error('none of the words can be drawn by the fonts; give --fonts that have their characters.');
  }
  return drawable;
}
