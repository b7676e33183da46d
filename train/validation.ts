/** How well a model in training reads words that it does not learn from. */
import { type Device, noGrad } from '../engine/index.js';
import { CharsetAdapter, readingFromLogits } from '../model/index.js';
import { Accuracy, combinedResult } from './accuracy.js';
import { type DataSource, openDataSource } from './data/data_source.js';
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
}

export interface ValidationRunOptions {
  readonly signal?: AbortSignal | undefined;
  /** Whether the visual branch's readings count, where a model has two branches. */
  readonly visualOnly?: boolean;
}

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
    options: ValidationOptions,
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
      ...options,
    }).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`validation set ${name}: ${reason}`, { cause: error });
    });
    const set = new OpenSet(name, loader);
    try {
      await set.choose(source, shown);
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

/** Reads all validation sets each time it is asked to. */
export class Validation {
  private constructor(
    private readonly device: Device,
    private readonly model: TrainableModel,
    private readonly sets: readonly OpenSet[],
  ) {}

  /** @throws Error if a set cannot be opened */
  static async open(
    device: Device,
    model: TrainableModel,
    sets: readonly ValidationSet[],
    options: ValidationOptions,
  ): Promise<Validation> {
    const opened: OpenSet[] = [];
    try {
      const shown = Math.ceil(shownSamples / Math.max(1, sets.length));
      for (const set of sets) opened.push(await OpenSet.open(set, model, options, shown));
    } catch (error) {
      for (const { loader } of opened) await loader.close();
      throw error;
    }
    return new Validation(device, model, opened);
  }

  /** Reads all sets; the signal ends it between two batches. */
  async run({ signal, visualOnly = false }: ValidationRunOptions = {}): Promise<
    Pick<ValidationEvent, 'sets' | 'combined' | 'unreadable' | 'samples'>
  > {
    const adapter = new CharsetAdapter(this.model.configuration.testCharset);
    const samples: ValidationSample[] = [];
    const results = [];
    let unreadable = 0;
    for (const set of this.sets) {
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
      results.push(accuracy.result());
    }
    return { sets: results, combined: combinedResult(results), unreadable, samples };
  }

  async close(): Promise<void> {
    for (const { loader } of this.sets) await loader.close();
  }

  private async read(
    pixels: Batch['pixels'],
    count: number,
    { adapter, visualOnly }: { readonly adapter: CharsetAdapter; readonly visualOnly: boolean },
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
