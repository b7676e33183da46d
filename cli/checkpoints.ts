import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  CATALOGUE,
  type PublishedCheckpoint,
  defaultCacheFolder,
  defaultCheckpoint,
  downloadPublished,
} from '../weights/index.js';
import { UsageError } from './errors.js';
import { tell } from './output.js';
import { showProgress } from './progress.js';

/**
 * The file that `--checkpoint` means: an existing path, else a published checkpoint by name, which is downloaded into
 * the cache the first time; the model that ships with the package where nothing is given.
 */
export async function resolveCheckpoint(wanted: string | undefined, quiet = false): Promise<string> {
  if (wanted === undefined) return defaultCheckpoint();
  if (existsSync(wanted)) return wanted;
  const published = CATALOGUE.find(({ name }) => name === wanted);
  if (published) return fetchPublished(published, { quiet });
  const looksLikePath = /[\\/]|\.\w+$/.test(wanted);
  throw new UsageError(
    looksLikePath
      ? `${wanted}: no such file.`
      : `${wanted}: no such file, and no published checkpoint of that name; known are ` +
          `${CATALOGUE.map(({ name }) => name).join(', ')}.`,
  );
}

export interface FetchOptions {
  /** Default: the user's cache. */
  readonly cacheFolder?: string | undefined;
  readonly quiet?: boolean | undefined;
  /** In place of the global one. */
  readonly fetch?: typeof fetch | undefined;
}

/** Path of a published checkpoint in the cache, downloaded with a progress bar if it is not there yet. */
export async function fetchPublished(
  published: PublishedCheckpoint,
  { cacheFolder = defaultCacheFolder(), quiet = false, fetch }: FetchOptions,
): Promise<string> {
  if (!quiet && !existsSync(join(cacheFolder, published.fileName))) {
    tell(`Downloading ${published.url} into ${cacheFolder}`);
  }
  const progress = showProgress(published.name, 'bytes', !quiet);
  try {
    return await downloadPublished(published, {
      cacheFolder,
      onProgress: ({ receivedBytes, totalBytes }) => progress.update(receivedBytes, totalBytes),
      ...(fetch ? { fetch } : {}),
    });
  } finally {
    progress.stop();
  }
}
