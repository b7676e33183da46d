/** Synthetic words as a data set of the training loader: made on its threads when they are needed, never stored. */
import type { DataSet, DataSource } from '../data_source.js';
import type { SynthesisMaterial } from './material.js';
import { Synthesizer } from './synthesizer.js';

export interface SyntheticSourceOptions {
  readonly material: SynthesisMaterial;
  /** Whole number from 0 to 2^53 - 1. */
  readonly seed: number;
  /** Images in the data set, at most 2^32. */
  readonly length: number;
}

export function syntheticSource(options: SyntheticSourceOptions): DataSource {
  return { module: import.meta.url, argument: options };
}

/** Opens what {@link syntheticSource} describes. */
export function openDataSet({ material, seed, length }: SyntheticSourceOptions): DataSet {
  const synthesizer = new Synthesizer(material);
  const source = (index: number): string => `synthetic word ${index} of seed ${seed}`;
  return {
    length,
    sample: (index) => ({ ...synthesizer.synthesize(seed, index), source: source(index) }),
    source,
  };
}
