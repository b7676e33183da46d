/** From what is written on the command line to the image files that are meant. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError, fileReason } from './errors.js';

/** An input that turned out to be no image, and why. */
export interface Fault {
  readonly name: string;
  readonly reason: string;
}

/** Where one image is to come from. */
export interface ImageFile {
  /** As it is printed: the path as given, or the folder's path and the file in it; `-` for the standard input. */
  readonly name: string;
  /** Undefined for the standard input. */
  readonly path: string | undefined;
}

const imageEnding = /\.(jpe?g|png|webp|gif|tiff?|avif)$/i;
const natural = new Intl.Collator('en', { numeric: true });

/**
 * The image files of paths, folders and patterns, in the order given; within a folder or pattern `2.png` comes before
 * `10.png`. A path that exists is taken as it is, whatever characters it has; only then it is a pattern.
 * @throws UsageError for an empty path
 */
export async function expandInputs(
  inputs: readonly string[],
): Promise<{ images: ImageFile[]; faults: Fault[] }> {
  const images: ImageFile[] = [];
  const faults: Fault[] = [];
  for (const input of inputs) {
    if (input === '')
      throw new UsageError('an image is given as an empty text; name a file, folder or pattern.');
    if (input === '-') {
      images.push({ name: '-', path: undefined });
      continue;
    }
    try {
      const paths = await pathsOf(input);
      if (typeof paths === 'string') faults.push({ name: input, reason: paths });
      else images.push(...paths.map((path) => ({ name: path, path })));
    } catch (error) {
      faults.push({ name: input, reason: fileReason(error) });
    }
  }
  return { images, faults };
}

/** The files meant by one input, or why there is none. */
async function pathsOf(input: string): Promise<string[] | string> {
  try {
    return (await stat(input)).isDirectory() ? await imagesIn(input) : [input];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const { default: glob } = await import('fast-glob');
    const pattern = process.platform === 'win32' ? input.replaceAll('\\', '/') : input;
    if (!glob.isDynamicPattern(pattern)) throw error;
    const found = await glob(pattern, { dot: false, followSymbolicLinks: false });
    return found.length > 0 ? found.sort(natural.compare) : 'no file matches this pattern';
  }
}

async function imagesIn(folder: string): Promise<string[] | string> {
  const entries = await readdir(folder, { withFileTypes: true });
  const images = entries.filter((entry) => !entry.isDirectory() && imageEnding.test(entry.name));
  if (images.length === 0) {
    const deeper = entries.some((entry) => entry.isDirectory())
      ? `; for the folders in it give a pattern: '${join(folder, '**/*.jpg')}'`
      : '';
    return `is a folder without images${deeper}`;
  }
  return images.map((entry) => join(folder, entry.name)).sort(natural.compare);
}
