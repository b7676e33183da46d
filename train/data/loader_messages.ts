import type { DataSource } from './data_source.js';
import type { LoadedSamples, SampleRun, SampleTreatment } from './sample_loader.js';

/** What a loading thread is started with. */
export interface ThreadSetup {
  readonly source: DataSource;
  readonly treatment: SampleTreatment;
}

/** To a thread. It answers loads in the order in which it gets them. */
export type ThreadRequest = { readonly kind: 'load'; readonly run: SampleRun } | { readonly kind: 'close' };

/** From a thread: first `opened`, then one `loaded` for each load; `failed` at any time, and nothing after it. */
export type ThreadReply =
  | { readonly kind: 'opened'; readonly length: number }
  | { readonly kind: 'loaded'; readonly samples: LoadedSamples }
  | ThreadFailure;

export interface ThreadFailure {
  readonly kind: 'failed';
  readonly message: string;
  /** Whether it was an {@link UnusableDataError}, whose class would be lost on the way. */
  readonly unusable: boolean;
}
