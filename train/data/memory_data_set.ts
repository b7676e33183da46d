import type { DataSet, DataSource, Sample } from './data_source.js';

/** A data set of samples that are already in memory. Every thread gets its own copy of them. */
export function memorySource(samples: readonly Sample[]): DataSource {
  // A view's whole buffer is sent with it, and file contents are often views of larger ones.
  const own = samples.map((sample) =>
    sample.image instanceof Uint8Array ? { ...sample, image: Uint8Array.from(sample.image) } : sample,
  );
  return { module: import.meta.url, argument: own };
}

/** Opens what {@link memorySource} describes. */
export function openDataSet(samples: readonly Sample[]): DataSet {
  return {
    length: samples.length,
    sample: (index) => samples[index]!,
    source: (index) => samples[index]!.source,
  };
}
