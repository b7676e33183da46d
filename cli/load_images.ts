import { constants, open } from 'node:fs/promises';
import { type ImageInput, type RgbImage } from '../model/index.js';
import { decodeImage } from '../model/decode_image.js';
import { describeError, fileReason } from './errors.js';
import type { Fault, ImageFile } from './inputs.js';

/** An image ready to be read, under the name it is printed with. */
export interface NamedImage<T extends ImageInput = ImageInput> {
  readonly name: string;
  readonly image: T;
}

/** More than any image that would be decoded; keeps a wrong path from filling memory. */
const LARGEST_IMAGE_BYTES = 512 * 1024 * 1024;
/** Images decoded while the device computes. */
const AHEAD = 4;

/** Decodes images in order, a few ahead of the reader, so that few are in memory whatever their number. */
export async function* loadImages(
  files: readonly ImageFile[],
): AsyncGenerator<NamedImage<RgbImage> | Fault, void> {
  const coming: Promise<NamedImage<RgbImage> | Fault>[] = [];
  for (const file of files) {
    coming.push(loadImage(file));
    if (coming.length > AHEAD) yield await coming.shift()!;
  }
  for (const image of coming) yield await image;
}

async function loadImage({ name, path }: ImageFile): Promise<NamedImage<RgbImage> | Fault> {
  let bytes: Uint8Array;
  try {
    bytes = path === undefined ? await readStandardInput() : await readRegularFile(path);
  } catch (error) {
    return { name, reason: fileReason(error) };
  }
  try {
    return { name, image: await decodeImage(bytes) };
  } catch (error) {
    return { name, reason: describeError(error) };
  }
}

async function readRegularFile(path: string): Promise<Uint8Array> {
  // Without waiting: opening a pipe that nobody writes to would never end.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const status = await file.stat();
    if (!status.isFile()) throw new Error('is not a regular file; to read from a pipe give - as the image');
    if (status.size > LARGEST_IMAGE_BYTES) throw tooLarge();
    return await file.readFile();
  } finally {
    await file.close();
  }
}

async function readStandardInput(): Promise<Uint8Array> {
  if (process.stdin.isTTY) throw new Error('the standard input is a terminal; pipe an image into it');
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of process.stdin as AsyncIterable<Uint8Array>) {
    bytes += part.length;
    if (bytes > LARGEST_IMAGE_BYTES) throw tooLarge();
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function tooLarge(): Error {
  return new Error(`has more than ${LARGEST_IMAGE_BYTES} bytes; no image that is read has`);
}
