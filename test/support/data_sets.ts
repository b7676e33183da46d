/** Data sets made for tests, right and wrong. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LmdbBuilder } from '../../train/data/lmdb_builder.js';
import type { Random } from './numbers.js';
import { pngColour, pngFile } from './image_files.js';

/** The bytes of an LMDB file with these keys and values. */
export function lmdbBytes(entries: Readonly<Record<string, string | Uint8Array>>): Uint8Array {
  const builder = new LmdbBuilder();
  for (const [key, value] of Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1))) {
    builder.append(key, Buffer.from(value));
  }
  const metaPages = builder.finish();
  return Buffer.concat([metaPages, ...builder.takePages()]);
}

/** Writes `<folder>/data.mdb`. */
export async function writeLmdb(
  folder: string,
  entries: Readonly<Record<string, string | Uint8Array>>,
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, 'data.mdb');
  await writeFile(path, lmdbBytes(entries));
  return path;
}

/** Entries of a data set of words; images are not decodable. */
export function wordEntries(labels: readonly string[]): Record<string, string | Uint8Array> {
  const entries: Record<string, string | Uint8Array> = { 'num-samples': String(labels.length) };
  labels.forEach((label, index) => {
    const number = String(index + 1).padStart(9, '0');
    entries[`image-${number}`] = `image of ${label}`;
    entries[`label-${number}`] = label;
  });
  return entries;
}

/** A PNG of random pixels, which takes about 3 bytes a pixel. */
export function noisePng(random: Random, width: number, height: number): Uint8Array {
  const samples = Uint8Array.from(random.integers(width * height * 3, 256));
  return pngFile({ width, height, bitDepth: 8, colourType: pngColour.rgb, samples });
}
