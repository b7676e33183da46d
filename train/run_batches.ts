/** The batches of a run: how they are loaded, and how an error names them. */
import type { RecognizerConfiguration } from '../model/index.js';
import type { TrainingConfiguration } from './configuration_schema.js';
import type { DataSource } from './data/data_source.js';
import type { Batch, LoaderOptions } from './data/loader.js';
import type { RunState } from './run_state.js';

export interface RunBatches {
  readonly configuration: TrainingConfiguration;
  readonly source: DataSource;
  readonly onCorrupt: LoaderOptions['onCorrupt'];
}

/** @param state of the run that goes on, if it does */
export function loaderOptions(
  { configuration, source, onCorrupt }: RunBatches,
  reader: RecognizerConfiguration,
  state: RunState | undefined,
): LoaderOptions {
  const { model, data, trainer, seed } = configuration;
  return {
    source,
    imageSize: reader.image.imageSize,
    normalization: reader.normalization,
    augment: data.augment,
    seed,
    batchSize: model.batch_size,
    shuffle: true,
    dropLast: false,
    onCorrupt,
    threads: Math.max(1, data.num_workers),
    ...(trainer.max_epochs > 0 ? { epochs: trainer.max_epochs } : {}),
    ...(state ? { start: state.position } : {}),
  };
}

/** Samples named in the message of a faulty step. */
const mostNamed = 8;

/** A step whose loss or gradient is no number. */
export class StepError extends Error {
  override readonly name = 'StepError';
  /** What the step was made of, a line a sample. */
  readonly samples: readonly string[];

  constructor(
    readonly step: number,
    fault: string,
    batches: readonly Batch[],
    advice: string,
  ) {
    const samples = batches.flatMap(({ sources, labels }) =>
      sources.map((source, i) => `${source} ${JSON.stringify(labels[i])}`),
    );
    const more = samples.length > mostNamed ? ` and ${samples.length - mostNamed} more` : '';
    super(
      `step ${step}: the ${fault}; no weight was changed by it. ${advice} ` +
        `Its data: ${samples.slice(0, mostNamed).join(', ')}${more}.`,
    );
    this.samples = samples;
  }
}
