import { epochOrder } from './epoch_order.js';
import { UnusableDataError } from './errors.js';
import { type DataPosition, type LoaderOptions, resolveOptions } from './loader_options.js';
import { LoaderThreads } from './loader_threads.js';
import type { CorruptSample, LoadedSamples, SampleRun } from './sample_loader.js';

export type { DataPosition, LoaderOptions } from './loader_options.js';
export type { CorruptSample } from './sample_loader.js';

export interface Batch {
  /** `[samples, 3, height, width]`, f32. */
  readonly pixels: Float32Array<ArrayBuffer>;
  readonly labels: readonly string[];
  readonly sources: readonly string[];
  /** Whether each stands in for a damaged one: it comes in its own place as well. */
  readonly standsIn: readonly boolean[];
  readonly position: DataPosition;
  /** Where a loader starts that goes on after this batch. */
  readonly next: DataPosition;
  /** How long the caller of {@link Loader.next} waited for it. */
  readonly waitMs: number;
}

/** Samples that a thread loads at a time: few enough to share a batch among threads, many enough to ask rarely. */
const mostSamplesPerLoad = 16;

/**
 * Feeds training: batches of a data set, read, decoded, augmented and resized in threads of their own. What is in a batch
 * depends on the data set, the options of its treatment, the seed and the position: neither on the number of threads nor on
 * what was loaded before.
 */
export class Loader {
  /** Batches under way or ready, by number; they are numbered from the one to start at through all epochs. */
  private readonly batches = new Map<number, Promise<LoadedSamples>>();
  private readonly reported = new Set<number>();
  private order: { readonly epoch: number; readonly indices: Uint32Array } | undefined;
  /** Number of the first batch that is not under way. */
  private ahead: number;
  /** Number of the batch that is asked for next. */
  private upcoming: number;
  private readonly end: number;
  /** Batches of the epoch to start in, from the position to start at. */
  private readonly firstBatches: number;
  readonly batchesPerEpoch: number;

  private constructor(
    private readonly options: Required<LoaderOptions>,
    private readonly threads: LoaderThreads,
    /** Samples in the data set. */
    readonly length: number,
  ) {
    this.batchesPerEpoch = batchesPerEpoch(length, options);
    const { epochs, start } = options;
    this.firstBatches = batchCount(Math.max(0, length - start.sample), options);
    this.ahead = this.upcoming = 0;
    this.end =
      start.epoch < epochs ? this.firstBatches + (epochs - start.epoch - 1) * this.batchesPerEpoch : 0;
  }

  /**
   * Opens the data set in each thread and begins to load.
   * @throws RangeError if a number among the options is out of its range; UnusableDataError if the data set has no samples;
   *   Error if it cannot be opened or has less than a batch
   */
  static async open(options: LoaderOptions): Promise<Loader> {
    const resolved = resolveOptions(options);
    const { source, imageSize, normalization, augment, seed } = resolved;
    const { threads, length } = await LoaderThreads.open(
      { source, treatment: { imageSize, normalization, augment, seed } },
      resolved.threads,
    );
    try {
      const loader = new Loader(resolved, threads, length);
      loader.loadAhead();
      return loader;
    } catch (error) {
      await threads.close();
      throw error;
    }
  }

  /**
   * The next batch, on from epoch to epoch.
   * @returns undefined when all epochs are done.
   * @throws UnusableDataError if too many samples in a row are damaged; Error if a loading thread failed or died, or the
   *   loader is closed.
   */
  async next(): Promise<Batch | undefined> {
    const calledAtMs = performance.now();
    if (this.upcoming >= this.end) return undefined;
    const number = this.upcoming++;
    this.loadAhead();
    // Closing drops what was loaded ahead; loading again tells why it is refused.
    const loading = this.batches.get(number) ?? this.load(number);
    this.batches.delete(number);
    const { corrupt, ...samples } = await loading;
    this.report(corrupt);
    return {
      ...samples,
      position: this.positionOf(number),
      next: this.positionOf(number + 1),
      waitMs: performance.now() - calledAtMs,
    };
  }

  /** Waits until the batch that comes next is loaded. @throws Error as {@link next} does */
  async ready(): Promise<void> {
    await this.batches.get(this.upcoming);
  }

  /** Ends all threads; the process can exit then. */
  async close(): Promise<void> {
    this.batches.clear();
    await this.threads.close();
  }

  private loadAhead(): void {
    const end = Math.min(this.upcoming + this.options.prefetchBatches, this.end);
    for (; this.ahead < end; this.ahead++) {
      const loading = this.load(this.ahead);
      // Who asks for the batch is told; nobody may ask.
      loading.catch(() => undefined);
      this.batches.set(this.ahead, loading);
    }
  }

  private async load(number: number): Promise<LoadedSamples> {
    const runs = this.runsOf(this.positionOf(number));
    const [first] = runs;
    if (runs.length === 1) return this.threads.load(first!);
    const [height, width] = this.options.imageSize;
    const values = 3 * height * width;
    const samples = runs.reduce((sum, { count }) => sum + count, 0);
    const pixels = new Float32Array(samples * values);
    const parts = await Promise.all(
      runs.map(async (run) => {
        const { pixels: part, ...rest } = await this.threads.load(run);
        pixels.set(part, (run.start - first!.start) * values);
        return rest;
      }),
    );
    return {
      pixels,
      labels: parts.flatMap(({ labels }) => labels),
      sources: parts.flatMap(({ sources }) => sources),
      standsIn: parts.flatMap(({ standsIn }) => standsIn),
      corrupt: parts.flatMap(({ corrupt }) => corrupt),
    };
  }

  /** What the threads are asked for to make a batch. */
  private runsOf({ epoch, sample: start }: DataPosition): SampleRun[] {
    const { batchSize, threads } = this.options;
    const end = Math.min(start + batchSize, this.length);
    const step = Math.min(mostSamplesPerLoad, Math.ceil((end - start) / threads));
    const order = this.orderOf(epoch);
    return Array.from({ length: Math.ceil((end - start) / step) }, (_, index) => {
      const from = start + index * step;
      return { epoch, order, start: from, count: Math.min(step, end - from) };
    });
  }

  private orderOf(epoch: number): Uint32Array {
    if (this.order?.epoch !== epoch) {
      const { seed, shuffle } = this.options;
      this.order = { epoch, indices: epochOrder(this.length, epoch, seed, shuffle) };
    }
    return this.order.indices;
  }

  private positionOf(number: number): DataPosition {
    const { start, batchSize } = this.options;
    if (number < this.firstBatches) {
      return { epoch: start.epoch, sample: start.sample + number * batchSize };
    }
    const later = number - this.firstBatches;
    const batch = later % this.batchesPerEpoch;
    return { epoch: start.epoch + 1 + (later - batch) / this.batchesPerEpoch, sample: batch * batchSize };
  }

  private report(corrupt: readonly CorruptSample[]): void {
    for (const sample of corrupt) {
      // A damaged sample is met again where it should have stood in for another.
      if (this.reported.has(sample.index)) continue;
      this.reported.add(sample.index);
      this.options.onCorrupt(sample);
    }
  }
}

function batchCount(
  samples: number,
  { batchSize, dropLast }: Pick<LoaderOptions, 'batchSize' | 'dropLast'>,
): number {
  return dropLast ? Math.floor(samples / batchSize) : Math.ceil(samples / batchSize);
}

function batchesPerEpoch(
  length: number,
  { batchSize, dropLast }: Pick<LoaderOptions, 'batchSize' | 'dropLast'>,
): number {
  if (length === 0) throw new UnusableDataError('the data set has no samples.');
  const batches = batchCount(length, { batchSize, dropLast });
  if (batches > 0) return batches;
  throw new Error(
    `the data set has ${length} samples, less than a batch of ${batchSize}. Make batches smaller or keep the last one.`,
  );
}
