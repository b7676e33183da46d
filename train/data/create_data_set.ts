/** Making data sets from other ones. */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { decodeImage } from '../../model/decode_image.js';
import { problemOf } from './errors.js';
import type { WordDataSet, WordSample } from './word_data_set.js';
import { WordSetWriter } from './word_set_writer.js';

/** Images read and decoded while others are written. */
const AHEAD = 4;

export interface CreateOptions {
  /** Whether images must be decodable to be taken; they are copied as they are in any case. */
  readonly decode: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Told of how many inputs are dealt with. */
  readonly onProgress?: ((done: number) => void) | undefined;
  /** Told of each input that is left out, and why. */
  readonly onFault?: ((source: string, reason: string) => void) | undefined;
}

export interface CreatedDataSet {
  readonly images: number;
  /** Inputs that were left out, in earlier runs too. */
  readonly leftOut: number;
  readonly bytes: number;
  /** Inputs that an earlier run had dealt with. */
  readonly resumedAt: number;
}

/**
 * Writes the samples of a data set as LMDB into a folder, images byte for byte. A run that was killed is continued by
 * another with the same inputs.
 * @returns with no images where none could be taken; then nothing is written
 * @throws DataSetError when the folder holds a data set, or cannot be written; what the signal is aborted with
 */
export async function createDataSet(
  folder: string,
  inputs: WordDataSet,
  options: CreateOptions,
): Promise<CreatedDataSet> {
  const writer = await WordSetWriter.open(folder, identityOf(inputs));
  const { resumedAt } = writer;
  try {
    options.onProgress?.(resumedAt);
    for await (const { index, outcome } of samplesFrom(inputs, resumedAt, options.decode)) {
      options.signal?.throwIfAborted();
      if ('problem' in outcome) {
        options.onFault?.(inputs.source(index), outcome.problem);
        writer.skip();
      } else await writer.add(outcome.image, outcome.label);
      options.onProgress?.(index + 1);
    }
    const { records } = writer;
    const counts = { images: records, leftOut: inputs.length - records, resumedAt };
    if (records > 0) return { ...counts, bytes: await writer.finish() };
    await writer.discard();
    return { ...counts, bytes: 0 };
  } catch (error) {
    // What went wrong first is what is told.
    await writer.pause().catch(() => undefined);
    throw error;
  }
}

interface Taken {
  readonly index: number;
  readonly outcome: WordSample | { readonly problem: string };
}

/** Samples in order, a few ahead of who takes them. */
async function* samplesFrom(
  inputs: WordDataSet,
  first: number,
  decode: boolean,
): AsyncGenerator<Taken, void> {
  const take = async (index: number): Promise<Taken> => {
    try {
      const sample = await inputs.sample(index);
      if (decode) await decodeImage(sample.image);
      return { index, outcome: sample };
    } catch (error) {
      return { index, outcome: { problem: problemOf(error) } };
    }
  };
  const coming: Promise<Taken>[] = [];
  for (let index = first; index < inputs.length; index++) {
    coming.push(take(index));
    if (coming.length > AHEAD) yield await coming.shift()!;
  }
  for (const taken of coming) yield await taken;
}

/** The same for the same sources and labels in the same order. */
function identityOf(inputs: WordDataSet): string {
  const hash = createHash('sha256');
  for (let index = 0; index < inputs.length; index++) {
    hash.update(JSON.stringify([resolve(inputs.source(index)), inputs.label(index)]));
  }
  return hash.digest('hex');
}
