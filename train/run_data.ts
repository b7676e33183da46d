/** The data sets of a run, by the folders that its configuration names: `train/<train_dir>` and `val` below the root. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { TrainingConfiguration } from './configuration_schema.js';
import type { DataSource } from './data/data_source.js';
import { type DataSetReport, findDataSets, openDataSets } from './data/index.js';
import { wordSource } from './data/word_source.js';
import { type LabelRules, labelFilter } from './label_filter.js';
import type { ValidationSet } from './validation.js';

export interface RunData {
  readonly source: DataSource;
  readonly validation: readonly ValidationSet[];
  /** What each data set of the training gave. */
  readonly reports: readonly DataSetReport[];
}

/**
 * Finds the data sets and looks through the labels of those to train on.
 * @throws Error in one line if there is nothing to train on
 */
export async function findRunData(
  { data, model }: Pick<TrainingConfiguration, 'data' | 'model'>,
  signal?: AbortSignal,
): Promise<RunData> {
  const { root_dir: root, train_dir: trainDir } = data;
  if (root === null) throw new Error('data.root_dir is not set: expected a folder with train/ and val/.');
  const rulesOf = (charset: string): LabelRules => ({
    charset,
    maxLabelLength: model.max_label_length,
    removeWhitespace: data.remove_whitespace,
    normalizeUnicode: data.normalize_unicode,
  });
  const roots = [trainDir].flat().map((folder) => join(root, 'train', folder));
  for (const folder of roots) {
    if (await stat(folder).catch(() => undefined)) continue;
    throw new Error(
      `${folder}: no such folder. Training data is looked for in data.train_dir below train/ in data.root_dir; ` +
        'data.train_dir=. takes all of train/.',
    );
  }
  const rules = rulesOf(model.charset_train);
  const opened = await openDataSets(roots, { filter: labelFilter(rules), signal });
  await opened.close();
  if (opened.length === 0) throw new Error(`${roots.join(', ')}: no sample is left to train on.`);
  const validationRoot = join(root, 'val');
  const hasValidation = await stat(validationRoot).catch(() => undefined);
  const found = hasValidation ? await findDataSets(validationRoot, signal) : [];
  return {
    source: wordSource(roots, rules),
    validation: found.map(({ path, name }) => ({
      name,
      source: wordSource([path], rulesOf(model.charset_test)),
    })),
    reports: opened.reports,
  };
}
