import { type Command, InvalidArgumentError } from 'commander';
import { resolveCharset } from '../model/index.js';
import { type DataSetReport, labelSelection, openDataSets } from '../train/data/index.js';
import { droppedTable, reportTable } from './dataset_report.js';
import { writeDataSet } from './dataset_writing.js';
import { EXIT_DONE, EXIT_NOTHING, EXIT_PARTLY, type ExitCode, UsageError } from './errors.js';
import { watchForInterruption } from './interruption.js';
import { wholeNumber } from './options.js';
import { print } from './output.js';

interface FilterCommandOptions {
  readonly charset?: string;
  readonly minLength: number;
  readonly maxLength?: number;
  readonly match?: RegExp;
  readonly json?: true;
  readonly quiet?: true;
}

const LONGEST_LABEL = 65_536;

const examples = `
Examples:
  clip4str-engine dataset filter train/words train/all --charset 94 --max-length 25
  clip4str-engine dataset filter train/plates train/all --match '^[A-Z]{2}[0-9]{3,4}$'
  clip4str-engine dataset filter train/digits train/all --charset 0123456789 --json > report.json

Labels and images are copied as they are. In a charset of one case (36) the case of labels does not count. A run that was
interrupted or killed is continued by the same command.

Exit code: 0 done, 1 no label passed, 2 some images could not be read.`;

/** Adds `dataset filter`. */
export function addDatasetFilter(dataset: Command): void {
  dataset
    .command('filter')
    .summary('write a new data set of the labels that pass')
    .description(
      'Write a new LMDB data set with the samples whose labels pass, and tell what was dropped and why.',
    )
    .argument('<folder>', 'where data.mdb is written')
    .argument('<inputs...>', 'data sets: folders or lists')
    .option('--charset <36|62|94|characters>', 'keep labels that have no other characters', charset)
    .option('--min-length <characters>', 'keep labels that are as long', wholeNumber(0, LONGEST_LABEL), 1)
    .option('--max-length <characters>', 'keep labels that are no longer', wholeNumber(1, LONGEST_LABEL))
    .option('--match <pattern>', 'keep labels that a regular expression finds something in', pattern)
    .option('--json', 'the report as JSON')
    .option('--quiet', 'no progress, no notes')
    .addHelpText('after', examples)
    .action(async (folder: string, inputs: string[], options: FilterCommandOptions) => {
      process.exitCode = await filter(folder, inputs, options, watchForInterruption());
    });
}

async function filter(
  folder: string,
  roots: readonly string[],
  options: FilterCommandOptions,
  signal: AbortSignal,
): Promise<ExitCode> {
  const { minLength, maxLength, match, quiet } = options;
  if (maxLength !== undefined && minLength > maxLength) {
    throw new UsageError(
      `--min-length ${minLength} is more than --max-length ${maxLength}: no label would be kept.`,
    );
  }
  const selection = { charset: options.charset, minLength, maxLength, pattern: match };
  const inputs = await openDataSets(roots, { filter: labelSelection(selection), signal });
  try {
    const created = await writeDataSet(folder, inputs, { decode: false, quiet, signal });
    await print(
      options.json
        ? `${JSON.stringify({ folder, ...created, sets: inputs.reports }, null, 2)}\n`
        : filterText(inputs.reports),
    );
    if (created.images === 0) return EXIT_NOTHING;
    return created.leftOut === 0 ? EXIT_DONE : EXIT_PARTLY;
  } finally {
    await inputs.close();
  }
}

function filterText(reports: readonly DataSetReport[]): string {
  return `${reportTable(reports)}${droppedTable(reports)}`;
}

function charset(text: string): string {
  try {
    resolveCharset(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
  return text;
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text, 'u');
  } catch (error) {
    throw new InvalidArgumentError(`${(error as Error).message}.`);
  }
}
