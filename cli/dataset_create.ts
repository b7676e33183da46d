import type { Command } from 'commander';
import { keepLabel, openDataSets } from '../train/data/index.js';
import { writeDataSet } from './dataset_writing.js';
import { EXIT_DONE, EXIT_NOTHING, EXIT_PARTLY, type ExitCode } from './errors.js';
import { watchForInterruption } from './interruption.js';
import { print } from './output.js';
import { tellFault } from './reading_run.js';

interface CreateCommandOptions {
  readonly json?: true;
  readonly quiet?: true;
}

const examples = `
Examples:
  clip4str-engine dataset create train/signs photos/             images with a list, into train/signs/data.mdb
  clip4str-engine dataset create train/all signs/gt.txt plates/   several into one
  clip4str-engine dataset create val/real old/val --json         LMDB data sets too

Images are decoded to see whether they are sound, and copied as they are. A run that was interrupted or killed is
continued by the same command.

Exit code: 0 all images were taken, 1 none was, 2 some were.`;

/** Adds `dataset create`. */
export function addDatasetCreate(dataset: Command): void {
  dataset
    .command('create')
    .summary('write images and labels as one LMDB data set')
    .description('Write images and labels as one LMDB data set, as PARSeq and CLIP4STR read them.')
    .argument('<folder>', 'where data.mdb is written')
    .argument('<inputs...>', 'data sets: folders or lists')
    .option('--json', 'the result as JSON')
    .option('--quiet', 'no progress, no notes')
    .addHelpText('after', examples)
    .action(async (folder: string, inputs: string[], options: CreateCommandOptions) => {
      process.exitCode = await create(folder, inputs, options, watchForInterruption());
    });
}

async function create(
  folder: string,
  roots: readonly string[],
  options: CreateCommandOptions,
  signal: AbortSignal,
): Promise<ExitCode> {
  let unusable = 0;
  const inputs = await openDataSets(roots, {
    filter: keepLabel,
    signal,
    onDropped: (name, reason) => tellFault({ name, reason }),
  });
  for (const { dropped } of inputs.reports) for (const { count } of dropped) unusable += count;
  try {
    const created = await writeDataSet(folder, inputs, { decode: true, quiet: options.quiet, signal });
    const leftOut = created.leftOut + unusable;
    if (options.json) await print(`${JSON.stringify({ folder, ...created, leftOut }, null, 2)}\n`);
    if (created.images === 0) return EXIT_NOTHING;
    return leftOut === 0 ? EXIT_DONE : EXIT_PARTLY;
  } finally {
    await inputs.close();
  }
}
