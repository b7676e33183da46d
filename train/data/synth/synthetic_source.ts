/** Synthetic words as a data set of the training loader: made on its threads when they are needed, never stored. */
import { type LabelRules, labelFilter } from '../../label_filter.js';
import type { DataSet, DataSource, Sample } from '../data_source.js';
import type { SynthesisMaterial } from './material.js';
import { Synthesizer } from './synthesizer.js';

/** Images in a data set at most: the numbers above them are for what stands in for words that the rules drop. */
const mostImages = 2 ** 28;
const attempts = 2 ** 32 / mostImages;

export interface SyntheticSourceOptions {
  readonly material: SynthesisMaterial;
  /** Whole number from 0 to 2^53 - 1. */
  readonly seed: number;
  /** Images in the data set, at most 2^28. */
  readonly length: number;
  /** How labels are brought into the training charset; in place of a word that they drop stands another. */
  readonly rules: LabelRules;
}

/** @throws RangeError for a length out of range */
export function syntheticSource(options: SyntheticSourceOptions): DataSource {
  const { length } = options;
  if (!(Number.isInteger(length) && length >= 0 && length <= mostImages)) {
    throw new RangeError(`the synthetic data set's length is ${length}; expected 0 to ${mostImages}.`);
  }
  return { module: import.meta.url, argument: options };
}

/** Opens what {@link syntheticSource} describes. */
export function openDataSet({ material, seed, length, rules }: SyntheticSourceOptions): DataSet {
  const synthesizer = new Synthesizer(material);
  const filter = labelFilter(rules);
  const source = (index: number): string => `synthetic word ${index} of seed ${seed}`;
  return {
    length,
    sample(index): Sample {
      for (let attempt = 0; attempt < attempts; attempt++) {
        const { image, label } = synthesizer.synthesize(seed, index + attempt * mostImages);
        const filtered = filter(label);
        if ('label' in filtered) return { image, label: filtered.label, source: source(index) };
      }
      throw new Error(`none of ${attempts} words has a label that can be trained on.`);
    },
    source,
  };
}
