/** The writing of data sets, with what is shown along the way. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type CreatedDataSet, type WordDataSet, createDataSet } from '../train/data/index.js';
import { printable } from './errors.js';
import { formatBytes, tell } from './output.js';
import { checkOutputFolder } from './output_paths.js';
import { showProgress } from './progress.js';
import { tellFault } from './reading_run.js';

/**
 * Writes a data set; images that are left out are reported in a line each.
 * @throws UsageError when the folder cannot be made
 */
export async function writeDataSet(
  folder: string,
  inputs: WordDataSet,
  { decode, quiet, signal }: { decode: boolean; quiet: true | undefined; signal: AbortSignal },
): Promise<CreatedDataSet> {
  await checkOutputFolder('dataset', folder);
  const progress = showProgress('Writing', 'images', !quiet);
  let created: CreatedDataSet;
  try {
    created = await createDataSet(folder, inputs, {
      decode,
      signal,
      onProgress: (done) => progress.update(done, inputs.length),
      onFault: (name, reason) => {
        progress.stop();
        tellFault({ name, reason });
      },
    });
  } catch (error) {
    progress.stop();
    if (!quiet && (await isUnfinished(folder))) {
      tell(`${printable(folder)} is unfinished; the same command continues it.`);
    }
    throw error;
  } finally {
    progress.stop();
  }
  if (!quiet) tell(summary(folder, created));
  return created;
}

function summary(folder: string, { images, leftOut, bytes, resumedAt }: CreatedDataSet): string {
  const name = printable(folder);
  const left = leftOut === 0 ? '' : `, ${leftOut.toLocaleString('en')} left out`;
  const resumed = resumedAt === 0 ? '' : `, continued from input ${(resumedAt + 1).toLocaleString('en')}`;
  if (images === 0) return `${name}: nothing was written, no image could be taken${left}`;
  const count = images === 1 ? '1 image' : `${images.toLocaleString('en')} images`;
  return `${name}: ${count}, ${formatBytes(bytes)}${left}${resumed}`;
}

async function isUnfinished(folder: string): Promise<boolean> {
  return stat(join(folder, 'data.mdb.part')).then(
    () => true,
    () => false,
  );
}
