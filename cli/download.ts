import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { CATALOGUE, defaultCacheFolder, findPublished } from '../weights/index.js';
import { fetchPublished } from './checkpoints.js';
import { EXIT_DONE, type ExitCode } from './errors.js';
import { formatBytes, formatTable, print } from './output.js';

interface DownloadCommandOptions {
  readonly cache?: string;
  readonly list?: true;
  readonly quiet?: true;
}

const examples = `
Examples:
  clip4str-engine download                      what there is
  clip4str-engine download clip4str-base        into the cache; read --checkpoint clip4str-base finds it there
  clip4str-engine download parseq --cache models/

A download that was cut off goes on where it stopped. The file is in its place only once its SHA-256 is right.`;

/** What `download` takes and does. */
export function defineDownload(command: Command): void {
  command
    .description(
      'Download a published CLIP4STR, PARSeq or CLIP model and print its path; without a name, list them.',
    )
    .argument('[name]', 'of the model')
    .option('--list', 'list the models')
    .option('--cache <folder>', 'where models are kept (default: CLIP4STR_CACHE, or the folder for caches)')
    .option('--quiet', 'no progress, no notes')
    .addHelpText('after', examples)
    .action(async (name: string | undefined, options: DownloadCommandOptions) => {
      process.exitCode = await downloadModel(name, options);
    });
}

async function downloadModel(
  name: string | undefined,
  { cache, list, quiet }: DownloadCommandOptions,
): Promise<ExitCode> {
  if (name === undefined || list) {
    await print(catalogueTable(cache ?? defaultCacheFolder()));
    return EXIT_DONE;
  }
  await print(`${await fetchPublished(findPublished(name), { cacheFolder: cache, quiet })}\n`);
  return EXIT_DONE;
}

/** One line a model: name, what it is, and its size where it is in the cache. */
function catalogueTable(folder: string): string {
  return formatTable(
    CATALOGUE.map(({ name, description, fileName }) => {
      const bytes = statSync(join(folder, fileName), { throwIfNoEntry: false })?.size;
      return [name, description, bytes === undefined ? '' : `in the cache, ${formatBytes(bytes)}`];
    }),
  );
}
