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
  /** Told of each set of which no image can be read, in a sentence or two. It is left out from then on. */
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

/** Told after the last set was left out. */
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
  private readonly sets: OpenSet[] = [];

  private constructor(
    private readonly device: Device,
    private readonly model: TrainableModel,
    private readonly onNotice: ValidationOptions['onNotice'],
  ) {}

  /** @throws Error if a set cannot be opened */
  static async open(
    device: Device,
    model: TrainableModel,
    sets: readonly ValidationSet[],
    options: ValidationOptions,
  ): Promise<Validation> {
    const validation = new Validation(device, model, options.onNotice);
    try {
      const shown = Math.ceil(shownSamples / Math.max(1, sets.length));
      for (const set of sets) {
        try {
          validation.sets.push(await OpenSet.open(set, model, options, shown));
        } catch (error) {
          if (!(error instanceof UnusableDataError)) throw openingError(set, error);
          validation.tellLeftOut(set, error);
        }
      }
    } catch (error) {
      await validation.close();
      throw error;
    }
    if (sets.length > 0 && validation.isEmpty) options.onNotice(noneLeft);
    return validation;
  }

  /** Whether there is nothing to validate on. */
  get isEmpty(): boolean {
    return this.sets.length === 0;
  }

  /**
   * Reads all sets; the signal ends it between two batches.
   * @returns undefined where no image of any set can be read any more
   */
  async run({ signal, visualOnly = false }: ValidationRunOptions = {}): Promise<
    Pick<ValidationEvent, 'sets' | 'combined' | 'unreadable' | 'samples'> | undefined
  > {
    const adapter = new CharsetAdapter(this.model.configuration.testCharset);
    const readings: SetReading[] = [];
    for (const set of [...this.sets]) {
      try {
        readings.push(await this.readSet(set, { adapter, visualOnly, signal }));
      } catch (error) {
        if (!(error instanceof UnusableDataError)) throw error;
        this.sets.splice(this.sets.indexOf(set), 1);
        await set.loader.close();
        this.tellLeftOut(set, error);
      }
    }
    if (readings.length === 0) {
      this.onNotice(noneLeft);
      return undefined;
    }
    const results = readings.map(({ result }) => result);
    return {
      sets: results,
      combined: combinedResult(results),
      unreadable: readings.reduce((sum, { unreadable }) => sum + unreadable, 0),
      samples: readings.flatMap(({ samples }) => samples),
    };
  }

  async close(): Promise<void> {
    for (const { loader } of this.sets) await loader.close();
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

  private tellLeftOut({ name }: Pick<OpenSet, 'name'>, { message }: UnusableDataError): void {
    this.onNotice(`validation set ${name}: ${message.replace(/\.$/, '')}; nothing is validated on it.`);
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
