/**
 * The data of a run, as its configuration names it: the folders `train/<train_dir>` and `val` below the root, and words
 * that are rendered as they are needed.
 */
import { opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { TrainingConfiguration } from './configuration_schema.js';
import type { DataSource } from './data/data_source.js';
import { type DataSetReport, findDataSets, openDataSets } from './data/index.js';
import { joinedSource } from './data/joined_source.js';
import { gatherMaterial, syntheticSource } from './data/synth/index.js';
import { wordSource } from './data/word_source.js';
import { type LabelRules, labelFilter } from './label_filter.js';
import type { ValidationSet } from './validation.js';

export interface RunData {
  readonly source: DataSource;
  readonly validation: readonly ValidationSet[];
  /** What each data set of the training gave. */
  readonly reports: readonly DataSetReport[];
  /** What each data set to validate on gave, those included of which no sample is left: they are not validated on. */
  readonly validationReports: readonly DataSetReport[];
  /** What was given and is not used, a sentence each. */
  readonly notes: readonly string[];
}

/** Reasons that are told of a validation set of which nothing is left. */
const mostReasons = 3;

/** A part of the data to train on. */
type TrainingPart = Pick<RunData, 'source' | 'reports' | 'notes'>;

/**
 * Finds the data sets and looks through their labels.
 * @throws Error in one line if there is nothing to train on
 */
export async function findRunData(
  { data, model }: Pick<TrainingConfiguration, 'data' | 'model'>,
  signal?: AbortSignal,
): Promise<RunData> {
  const { root_dir: root, synthetic } = data;
  const rulesOf = (charset: string): LabelRules => ({
    charset,
    maxLabelLength: model.max_label_length,
    removeWhitespace: data.remove_whitespace,
    normalizeUnicode: data.normalize_unicode,
  });
  const folders = [data.train_dir].flat();
  if (synthetic.count === 0 && root === null) {
    throw new Error('data.root_dir is not set: expected a folder with train/ and val/.');
  }
  if (synthetic.count === 0 && folders.length === 0) {
    throw new Error('data.train_dir is empty and data.synthetic.count is 0: there is nothing to train on.');
  }
  const rules = rulesOf(model.charset_train);
  const parts: TrainingPart[] = [];
  if (root !== null && folders.length > 0) {
    const roots = folders.map((folder) => join(root, 'train', folder));
    parts.push(await storedWords(roots, rules, signal));
  }
  if (synthetic.count > 0) parts.push(await syntheticWords(synthetic, rules));

  const validation =
    root === null
      ? noValidation
      : await validationSets(join(root, 'val'), rulesOf(model.charset_test), signal);
  return {
    source: joinedSource(parts.map(({ source }) => source)),
    validation: validation.sets,
    reports: parts.flatMap(({ reports }) => reports),
    validationReports: validation.reports,
    notes: [...parts.flatMap(({ notes }) => notes), ...validation.reports.flatMap(unusedNote)],
  };
}

interface ValidationData {
  readonly sets: readonly ValidationSet[];
  readonly reports: readonly DataSetReport[];
}

const noValidation: ValidationData = { sets: [], reports: [] };

async function validationSets(
  root: string,
  rules: LabelRules,
  signal: AbortSignal | undefined,
): Promise<ValidationData> {
  if (!(await holdsFiles(root))) return noValidation;
  const sets: ValidationSet[] = [];
  const reports: DataSetReport[] = [];
  for (const { path, name } of await findDataSets(root, signal)) {
    const opened = await openDataSets([path], { filter: labelFilter(rules), signal });
    await opened.close();
    reports.push(...opened.reports.map((report) => ({ ...report, name: `val/${name}` })));
    if (opened.length > 0) sets.push({ name, source: wordSource([path], rules) });
  }
  return { sets, reports };
}

/** Whether there is a file in a folder or below it, other than hidden ones. */
async function holdsFiles(root: string): Promise<boolean> {
  const status = await stat(root).catch(() => undefined);
  if (!status?.isDirectory()) return status !== undefined;
  for await (const entry of await opendir(root, { recursive: true })) {
    if (!entry.isDirectory() && !entry.name.startsWith('.')) return true;
  }
  return false;
}

function unusedNote({ name, kept, records, dropped }: DataSetReport): string[] {
  if (kept > 0) return [];
  const reasons = dropped.slice(0, mostReasons).map(({ reason, count, example }) => {
    const shown = example.label === null ? example.source : JSON.stringify(example.label.slice(0, 60));
    return `${reason}: ${count}, as ${shown}`;
  });
  const why =
    records === 0 ? 'it is empty' : `none of its ${records} samples is left (${reasons.join('; ')})`;
  return [`${name}: ${why}: nothing is validated on it.`];
}

async function storedWords(
  roots: readonly string[],
  rules: LabelRules,
  signal: AbortSignal | undefined,
): Promise<TrainingPart> {
  for (const folder of roots) {
    if (await stat(folder).catch(() => undefined)) continue;
    throw new Error(
      `${folder}: no such folder. Training data is looked for in data.train_dir below train/ in data.root_dir; ` +
        'data.train_dir=. takes all of train/, and data.train_dir=[] none of it, where data.synthetic gives words.',
    );
  }
  const opened = await openDataSets(roots, { filter: labelFilter(rules), signal });
  await opened.close();
  if (opened.length === 0) throw new Error(`${roots.join(', ')}: no sample is left to train on.`);
  return { source: wordSource(roots, rules), reports: opened.reports, notes: [] };
}

async function syntheticWords(
  options: TrainingConfiguration['data']['synthetic'],
  rules: LabelRules,
): Promise<TrainingPart> {
  const { count, seed, fonts, words, words_share: wordsShare, backgrounds } = options;
  const { material, faults, notes } = await gatherMaterial({
    fonts: [fonts].flat(),
    words: [words].flat(),
    wordsShare,
    longestText: Math.min(rules.maxLabelLength, 100),
    ...(backgrounds === null ? {} : { backgrounds }),
  });
  return {
    source: syntheticSource({ material, seed, length: count, rules }),
    reports: [
      { name: 'synthetic words', path: '', kind: 'synthetic', records: count, kept: count, dropped: [] },
    ],
    notes: [...faults.map(({ name, reason }) => `${name}: ${reason}`), ...notes],
  };
}
