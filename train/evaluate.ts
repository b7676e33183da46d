/** Reading data sets with known labels, as the original's test does. */
import type { Clip4Str } from '../model/index.js';
import { CharsetAdapter, ImageError } from '../model/index.js';
import { Accuracy, type SetResult } from './accuracy.js';
import type { WordDataSet } from './data/index.js';

/** A reading that differs from its label. */
export interface WrongReading {
  readonly source: string;
  readonly label: string;
  /** In the charset that was compared in. */
  readonly text: string;
  readonly confidence: number;
  /** Content of the image file, of the first ones. */
  readonly image?: Uint8Array;
}

export interface SetEvaluation {
  readonly result: SetResult;
  /** As many as were to be kept. */
  readonly wrong: readonly WrongReading[];
  /** How many there are. */
  readonly wrongCount: number;
  /** Samples without an image that can be read; they count as nothing. */
  readonly unreadable: readonly { readonly source: string; readonly reason: string }[];
}

export interface EvaluationOptions {
  /** Charset (name or characters) that readings are compared in; the set's labels must be in it. */
  readonly charset: string;
  readonly batchSize: number;
  readonly refineIterations?: number | undefined;
  readonly originalStopping?: boolean | undefined;
  /** How many wrong readings are kept, and how many of them with their images. Default: none. */
  readonly keepWrong?: number | undefined;
  readonly keepImages?: number | undefined;
  readonly onProgress?: ((samples: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Reads every sample of a data set and compares. */
export async function evaluateSet(
  reader: Clip4Str,
  set: WordDataSet,
  options: EvaluationOptions,
): Promise<SetEvaluation> {
  const {
    charset,
    batchSize,
    refineIterations,
    originalStopping,
    keepWrong = 0,
    keepImages = 0,
    signal,
  } = options;
  const adapter = new CharsetAdapter(charset);
  const accuracy = new Accuracy(set.name, adapter);
  const wrong: WrongReading[] = [];
  let wrongCount = 0;
  const unreadable: { source: string; reason: string }[] = [];
  const { decodeImage } = await import('../model/decode_image.js');
  for (let start = 0; start < set.length; start += batchSize) {
    signal?.throwIfAborted();
    const indices = Array.from({ length: Math.min(batchSize, set.length - start) }, (_, i) => start + i);
    const decoded = await Promise.all(
      indices.map(async (index) => {
        try {
          const sample = await set.sample(index);
          return [{ sample, image: await decodeImage(sample.image) }];
        } catch (error) {
          const reason = error instanceof Error ? error.message : String(error);
          unreadable.push({ source: set.source(index), reason });
          return [];
        }
      }),
    );
    const batch = decoded.flat();
    const readings = await reader.readEach(
      batch.map(({ image }) => image),
      { charset, batchSize, refineIterations, originalStopping },
    );
    readings.forEach((reading, i) => {
      const { label, source, image } = batch[i]!.sample;
      if (reading instanceof ImageError) {
        unreadable.push({ source, reason: reading.reason });
        return;
      }
      const { text, confidence } = reading;
      if (accuracy.add(text, confidence, label)) return;
      wrongCount += 1;
      const shown = wrongCount <= keepImages ? { image } : {};
      if (wrongCount <= keepWrong) wrong.push({ source, label, text, confidence, ...shown });
    });
    options.onProgress?.(start + indices.length);
  }
  return { result: accuracy.result(), wrong, wrongCount, unreadable };
}
