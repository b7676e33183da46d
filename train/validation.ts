/** How well a model in training reads words that it does not learn from. */
import { type Device, noGrad } from '../engine/index.js';
import { CharsetAdapter, readingFromLogits } from '../model/index.js';
import { Accuracy, type SetResult, combinedResult } from './accuracy.js';
import { type DataSource, openDataSource } from './data/data_source.js';
import { UnusableDataError } from './data/errors.js';
import { type Batch, type CorruptSample, Loader } from './data/loader.js';
import type { ValidationEvent, ValidationSample } from './events.js';
import type { TrainableModel } from './trainable_model.js';

export interface ValidationSet {
  readonly name: string;
  /** Labels are in the test charset. */
  readonly source: DataSource;
}

export interface ValidationOptions {
  readonly batchSize: number;
  readonly threads: number;
  /** Told once of each image that cannot be read. They count as nothing. */
  readonly onCorrupt: (sample: CorruptSample) => void;
  /** Told in a sentence or two of each set that cannot be read, and of each that can be again. */
  readonly onNotice: (notice: string) => void;
}

export interface ValidationRunOptions {
  readonly signal?: AbortSignal | undefined;
  /** Whether the visual branch's readings count, where a model has two branches. */
  readonly visualOnly?: boolean;
}

interface ReadOptions {
  readonly adapter: CharsetAdapter;
  readonly visualOnly: boolean;
}

/** What was read in one set. */
interface SetReading extends Pick<ValidationEvent, 'unreadable' | 'samples'> {
  readonly result: SetResult;
}

/** A set that could be read when the run began: one that cannot be read later is tried again each time. */
interface KnownSet {
  readonly set: ValidationSet;
  open: OpenSet | undefined;
}

/** Told where no set can be read when the run begins. */
const noneLeft =
  'no validation set is left: from here on nothing is validated, and no best.safetensors is written.';

/** How many samples are shown, the same ones at each validation. */
const shownSamples = 16;

/** A data set that is read again and again. */
class OpenSet {
  private readonly shown = new Map<string, Uint8Array>();

  private constructor(
    readonly name: string,
    readonly loader: Loader,
  ) {}

  static async open(
    { name, source }: ValidationSet,
    { configuration }: TrainableModel,
    { batchSize, threads, onCorrupt }: ValidationOptions,
    shown: number,
  ): Promise<OpenSet> {
    const loader = await Loader.open({
      source,
      imageSize: configuration.image.imageSize,
      normalization: configuration.normalization,
      augment: false,
      shuffle: false,
      dropLast: false,
      seed: 0,
      prefetchBatches: 1,
      batchSize,
      threads,
      onCorrupt,
    });
    const set = new OpenSet(name, loader);
    try {
      await set.choose(source, shown);
      await loader.ready();
    } catch (error) {
      await loader.close();
      throw error;
    }
    return set;
  }

  /** The file of a sample that is shown. */
  imageOf(source: string): Uint8Array | undefined {
    return this.shown.get(source);
  }

  /** Keeps the files of samples spread over the set. */
  private async choose(source: DataSource, count: number): Promise<void> {
    const dataSet = await openDataSource(source);
    try {
      const chosen = Math.min(count, dataSet.length);
      for (let i = 0; i < chosen; i++) {
        const index = Math.floor((i * dataSet.length) / chosen);
        // A damaged sample is told of when it is read.
        const sample = await Promise.resolve(dataSet.sample(index)).catch(() => undefined);
        if (sample?.image instanceof Uint8Array) this.shown.set(sample.source, sample.image);
      }
    } finally {
      await dataSet.close?.();
    }
  }
}

function openingError({ name }: ValidationSet, error: unknown): Error {
  const reason = error instanceof Error ? error.message : String(error);
  return new Error(`validation set ${name}: ${reason}`, { cause: error });
}

/** Reads all validation sets each time it is asked to. */
export class Validation {
  private readonly sets: KnownSet[] = [];

  private constructor(
    private readonly device: Device,
    private readonly model: TrainableModel,
    private readonly options: ValidationOptions,
    /** Samples of each set that are shown. */
    private readonly shown: number,
  ) {}

  /**
   * Sets of whose images too many in a row cannot be read are told of and left out for good, unless they could be read before
   * on another device: then they are away for now.
   * @param before the sets of that validation
   * @throws Error if a set cannot be opened
   */
  static async open(
    device: Device,
    model: TrainableModel,
    sets: readonly ValidationSet[],
    options: ValidationOptions,
    before?: readonly ValidationSet[],
  ): Promise<Validation> {
    const shown = Math.ceil(shownSamples / Math.max(1, sets.length));
    const validation = new Validation(device, model, options, shown);
    try {
      for (const set of before ?? sets) {
        try {
          validation.sets.push({ set, open: await OpenSet.open(set, model, options, shown) });
        } catch (error) {
          if (before) {
            validation.sets.push({ set, open: undefined });
            continue;
          }
          if (!(error instanceof UnusableDataError)) throw openingError(set, error);
          validation.tellUnusable(set, error, 'nothing is validated on it');
        }
      }
    } catch (error) {
      await validation.close();
      throw error;
    }
    if (!before && sets.length > 0 && validation.isEmpty) options.onNotice(noneLeft);
    return validation;
  }

  /** Those that could be read when the run began. */
  get readable(): ValidationSet[] {
    return this.sets.map(({ set }) => set);
  }

  /** Whether there is nothing to validate on. */
  get isEmpty(): boolean {
    return this.sets.length === 0;
  }

  /**
   * Reads all sets; the signal ends it between two batches.
   * @returns undefined where no set can be read now; `complete` where all were
   */
  async run({ signal, visualOnly = false }: ValidationRunOptions = {}): Promise<
    | (Pick<ValidationEvent, 'sets' | 'combined' | 'unreadable' | 'samples'> & { readonly complete: boolean })
    | undefined
  > {
    const adapter = new CharsetAdapter(this.model.configuration.testCharset);
    const readings: SetReading[] = [];
    for (const known of this.sets) {
      const open = (known.open ??= await this.openAgain(known.set));
      if (!open) continue;
      try {
        readings.push(await this.readSet(open, { adapter, visualOnly, signal }));
      } catch (error) {
        if (!(error instanceof UnusableDataError)) throw error;
        known.open = undefined;
        await open.loader.close();
        const consequence = 'until it can be read again nothing is validated on it, and no model is the best';
        this.tellUnusable(known.set, error, consequence);
      }
    }
    if (readings.length === 0) return undefined;
    const results = readings.map(({ result }) => result);
    return {
      sets: results,
      combined: combinedResult(results),
      unreadable: readings.reduce((sum, { unreadable }) => sum + unreadable, 0),
      samples: readings.flatMap(({ samples }) => samples),
      complete: readings.length === this.sets.length,
    };
  }

  async close(): Promise<void> {
    for (const { open } of this.sets) await open?.loader.close();
  }

  private async openAgain(set: ValidationSet): Promise<OpenSet | undefined> {
    // It was told of when it went away, whatever is in its place now.
    const open = await OpenSet.open(set, this.model, this.options, this.shown).catch(() => undefined);
    if (open) this.options.onNotice(`validation set ${set.name} can be read again.`);
    return open;
  }

  private async readSet(
    set: OpenSet,
    { adapter, visualOnly, signal }: ReadOptions & { readonly signal: AbortSignal | undefined },
  ): Promise<SetReading> {
    const samples: ValidationSample[] = [];
    let unreadable = 0;
    const accuracy = new Accuracy(set.name, adapter);
    for (let batch = 0; batch < set.loader.batchesPerEpoch; batch++) {
      signal?.throwIfAborted();
      const { pixels, labels, sources, standsIn } = (await set.loader.next())!;
      const readings = await this.read(pixels, labels.length, { adapter, visualOnly });
      readings.forEach(({ text, confidence }, i) => {
        if (standsIn[i]) {
          unreadable++;
          return;
        }
        const [label, source] = [labels[i]!, sources[i]!];
        accuracy.add(text, confidence, label);
        const image = set.imageOf(source);
        if (image) samples.push({ source, label, text: adapter.adapt(text), confidence, image });
      });
    }
    return { result: accuracy.result(), unreadable, samples };
  }

  private tellUnusable({ name }: ValidationSet, { message }: UnusableDataError, consequence: string): void {
    this.options.onNotice(`validation set ${name}: ${message.replace(/\.$/, '')}; ${consequence}.`);
  }

  private async read(
    pixels: Batch['pixels'],
    count: number,
    { adapter, visualOnly }: ReadOptions,
  ): Promise<{ text: string; confidence: number }[]> {
    const { device, model } = this;
    const { image, decodeAutoregressive, refineIterations } = model.configuration;
    const values = await noGrad(() =>
      device.scope(async () => {
        const images = device.tensor(pixels, [count, 3, ...image.imageSize]);
        const { logits, visualLogits } = await model.recognize(images, {
          autoregressive: decodeAutoregressive,
          refineIterations,
          stopping: 'independent',
          captionAdapter: adapter,
          endsEarly: true,
        });
        return (await ((visualOnly && visualLogits) || logits).read()) as Float32Array;
      }),
    );
    const size = values.length / count;
    return Array.from({ length: count }, (_, i) =>
      readingFromLogits(values.subarray(i * size, (i + 1) * size), model.tokenizer),
    );
  }
}
