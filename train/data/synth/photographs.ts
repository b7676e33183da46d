/** The user's photographs, parts of which become backgrounds. */
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeImage } from '../../../model/decode_image.js';
import type { RgbImage } from '../../../model/rgb_image.js';
import { resizeBicubic } from '../../../model/resize.js';
import type { Fault } from './fonts.js';
import { fileProblem, folderProblem } from './given_paths.js';

/** A photograph in memory that all threads share. */
export type Photograph = RgbImage;

export interface FoundPhotographs {
  readonly photographs: readonly Photograph[];
  readonly faults: readonly Fault[];
  /** Images of the folder that no memory was left for. */
  readonly surplus: number;
}

const longestSide = 512;
const mostBytes = 256 * 2 ** 20;
const largestFileBytes = 64 * 2 ** 20;
const imageEnding = /\.(jpe?g|png|webp|tiff?|avif)$/i;

/**
 * The images of a folder, shrunk.
 * @throws Error if the folder cannot be read or holds no image
 */
export async function loadPhotographs(folder: string): Promise<FoundPhotographs> {
  const problem = await folderProblem(folder);
  if (problem) throw new Error(`the backgrounds' folder ${folder} ${problem}.`);
  const names = (await readdir(folder)).filter((name) => imageEnding.test(name)).sort();
  const photographs: Photograph[] = [];
  const faults: Fault[] = [];
  let bytes = 0;
  for (const [index, name] of names.entries()) {
    if (bytes >= mostBytes) return { photographs, faults, surplus: names.length - index };
    try {
      const photograph = await loadPhotograph(join(folder, name));
      photographs.push(photograph);
      bytes += photograph.data.length;
    } catch (error) {
      faults.push({ name, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  if (photographs.length === 0) {
    const found =
      names.length === 0 ? 'holds no images' : `holds ${names.length} images, none of which can be used`;
    throw new Error(`${folder} ${found} (JPEG, PNG, WebP, TIFF, AVIF).`);
  }
  return { photographs, faults, surplus: 0 };
}

async function loadPhotograph(path: string): Promise<Photograph> {
  const problem = await fileProblem(path);
  if (problem) throw new Error(`${problem}.`);
  const { size } = await stat(path);
  if (size > largestFileBytes) throw new Error(`has ${size} bytes; at most ${largestFileBytes} are read.`);
  const image = await decodeImage(await readFile(path));
  const scale = Math.min(1, longestSide / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
  const { data } = resizeBicubic(image, height!, width!);
  const shared = new Uint8Array(new SharedArrayBuffer(data.length));
  shared.set(data);
  return { width: width!, height: height!, data: shared };
}
