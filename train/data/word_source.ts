import { type LabelRules, labelFilter } from '../label_filter.js';
import type { DataSet, DataSource } from './data_source.js';
import { openDataSets } from './open_data_sets.js';

interface WordSourceArgument {
  readonly roots: readonly string[];
  readonly rules: LabelRules;
}

/** The data sets of some folders and lists as one, with labels as a charset wants them. */
export function wordSource(roots: readonly string[], rules: LabelRules): DataSource {
  const argument: WordSourceArgument = { roots, rules };
  return { module: import.meta.url, argument };
}

/** Opens what {@link wordSource} describes. */
export async function openDataSet({ roots, rules }: WordSourceArgument): Promise<DataSet> {
  return openDataSets(roots, { filter: labelFilter(rules) });
}
