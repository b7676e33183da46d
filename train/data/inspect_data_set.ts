/** What a data set is like: its labels, and the sizes of its images. */
import { decodeImage } from '../../model/decode_image.js';
import { problemOf } from './errors.js';
import { fitsCharset } from './label_selection.js';
import type { WordDataSet } from './word_data_set.js';

const charsets = ['36', '62', '94'] as const;
/** Images decoded at once. */
const AT_ONCE = 4;

/** Least, middle and greatest of some numbers. */
export interface Spread {
  readonly least: number;
  readonly median: number;
  readonly most: number;
}

export interface LabelStatistics {
  /** Labels by number of characters, shortest first. */
  readonly lengths: readonly { readonly length: number; readonly count: number }[];
  /** How often each character occurs, most frequent first. */
  readonly characters: readonly { readonly character: string; readonly count: number }[];
  /** Labels that lose no character in the charsets of 36, 62 and 94 characters. */
  readonly fitting: Readonly<Record<(typeof charsets)[number], number>>;
}

export interface ImageStatistics {
  /** Images that were decoded: all, or as many as asked for, evenly spread. */
  readonly examined: number;
  /** Of those, the ones that cannot be decoded. */
  readonly unreadable: readonly { readonly source: string; readonly reason: string }[];
  /** In pixels; null where no image could be decoded. */
  readonly width: Spread | null;
  readonly height: Spread | null;
  readonly bytes: Spread | null;
}

/** Lengths, characters and charsets of all labels. */
export function labelStatistics(set: WordDataSet): LabelStatistics {
  const lengths = new Map<number, number>();
  const characters = new Map<string, number>();
  const fits = charsets.map((charset) => ({ charset, fits: fitsCharset(charset), count: 0 }));
  for (let index = 0; index < set.length; index++) {
    const label = set.label(index);
    let length = 0;
    for (const character of label) {
      length += 1;
      characters.set(character, (characters.get(character) ?? 0) + 1);
    }
    lengths.set(length, (lengths.get(length) ?? 0) + 1);
    for (const one of fits) if (one.fits(label)) one.count += 1;
  }
  return {
    lengths: [...lengths].map(([length, count]) => ({ length, count })).sort((a, b) => a.length - b.length),
    characters: [...characters]
      .map(([character, count]) => ({ character, count }))
      .sort((a, b) => b.count - a.count || (a.character < b.character ? -1 : 1)),
    fitting: Object.fromEntries(
      fits.map(({ charset, count }) => [charset, count]),
    ) as LabelStatistics['fitting'],
  };
}

/**
 * Decodes images and measures them.
 * @param most images that are decoded; of more, some are, evenly spread
 */
export async function imageStatistics(
  set: WordDataSet,
  most: number,
  options: { signal?: AbortSignal; onProgress?: (done: number, total: number) => void } = {},
): Promise<ImageStatistics> {
  const indices = evenlySpread(set.length, most);
  const unreadable: { source: string; reason: string }[] = [];
  const measures = { width: [] as number[], height: [] as number[], bytes: [] as number[] };
  for (let start = 0; start < indices.length; start += AT_ONCE) {
    options.signal?.throwIfAborted();
    const outcomes = await Promise.all(
      indices.slice(start, start + AT_ONCE).map((index) => measured(set, index)),
    );
    for (const outcome of outcomes) {
      if ('reason' in outcome) unreadable.push(outcome);
      else {
        measures.width.push(outcome.width);
        measures.height.push(outcome.height);
        measures.bytes.push(outcome.bytes);
      }
    }
    options.onProgress?.(start + outcomes.length, indices.length);
  }
  return {
    examined: indices.length,
    unreadable,
    width: spreadOf(measures.width),
    height: spreadOf(measures.height),
    bytes: spreadOf(measures.bytes),
  };
}

/** At most `most` of the numbers below `length`, from the first on in equal steps. */
export function evenlySpread(length: number, most: number): number[] {
  const count = Math.min(length, most);
  return Array.from({ length: count }, (_, at) => Math.floor((at * length) / count));
}

type Measured =
  | { readonly width: number; readonly height: number; readonly bytes: number }
  | { readonly source: string; readonly reason: string };

async function measured(set: WordDataSet, index: number): Promise<Measured> {
  try {
    const { image } = await set.sample(index);
    const { width, height } = await decodeImage(image);
    return { width, height, bytes: image.length };
  } catch (error) {
    return { source: set.source(index), reason: problemOf(error) };
  }
}

function spreadOf(values: number[]): Spread | null {
  if (values.length === 0) return null;
  values.sort((a, b) => a - b);
  return { least: values[0]!, median: values[values.length >> 1]!, most: values.at(-1)! };
}
