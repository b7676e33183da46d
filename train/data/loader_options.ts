import { availableParallelism } from 'node:os';
import type { DataSource } from './data_source.js';
import type { CorruptSample, SampleTreatment } from './sample_loader.js';

/** A batch's place in the training, whatever the size of batches. */
export interface DataPosition {
  /** From 0. */
  readonly epoch: number;
  /** Number of its first sample in the order of its epoch, from 0. */
  readonly sample: number;
}

export interface LoaderOptions extends SampleTreatment {
  /** Opened by each thread for itself. */
  readonly source: DataSource;
  /** Samples in a batch. */
  readonly batchSize: number;
  /** Whether each epoch has a random order of its own, made of the seed. */
  readonly shuffle: boolean;
  /** Whether an epoch's last batch is left out if it is smaller than the others. */
  readonly dropLast: boolean;
  /** Told once of each damaged sample, when the first batch that met it is delivered. */
  readonly onCorrupt: (sample: CorruptSample) => void;
  /** Loading threads; one less than the processor's cores unless given. */
  readonly threads?: number;
  /** Batches that are made ahead of the one asked for: what bounds the memory. 2 unless given. */
  readonly prefetchBatches?: number;
  /**
   * Of the first batch to deliver: the very first unless given. Where the data set has fewer samples than that, the next
   * epoch begins.
   */
  readonly start?: DataPosition;
  /** Epochs of the whole training, also before `start`; endless unless given. */
  readonly epochs?: number;
}

/** Fills in what is not given. @throws RangeError if a number is not a whole one in its range. */
export function resolveOptions(options: LoaderOptions): Required<LoaderOptions> {
  const resolved = {
    threads: Math.max(1, availableParallelism() - 1),
    prefetchBatches: 2,
    start: { epoch: 0, sample: 0 },
    epochs: Infinity,
    ...options,
  };
  const { start, epochs, imageSize } = resolved;
  checkWhole('batch size', resolved.batchSize, 1);
  checkWhole('image height', imageSize[0], 1);
  checkWhole('image width', imageSize[1], 1);
  checkWhole('data seed', resolved.seed, 0);
  checkWhole('number of loading threads', resolved.threads, 1);
  checkWhole('number of batches loaded ahead', resolved.prefetchBatches, 1);
  checkWhole('epoch to start at', start.epoch, 0);
  checkWhole('sample to start at', start.sample, 0);
  if (epochs !== Infinity) checkWhole('number of epochs', epochs, 1);
  return resolved;
}

function checkWhole(name: string, value: number, minimum: number): void {
  if (!Number.isSafeInteger(value) || value < minimum) {
    throw new RangeError(`${name} is ${value}; expected a whole number from ${minimum} on.`);
  }
}
