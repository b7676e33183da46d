/** What the images of a folder are made from, written beside them, so that a run is only continued with the same. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError } from '../../../weights/file_source.js';
import { unfinishedFile, writeWholeFile } from '../../../weights/whole_file.js';
import { dataSetError } from '../errors.js';
import type { SynthesisMaterial } from './material.js';
import type { RenderSetup } from './render_messages.js';

export type Recipe = Readonly<Record<string, string | number>>;

const fileName = 'synth.json';

/** What the images are kept in: files with a list of labels, or the records of an LMDB data set. */
export type ImageContainer = 'files' | 'lmdb';

/** @param version of this package: another may draw otherwise */
export function recipeOf(
  { material, seed, format, quality }: RenderSetup,
  container: ImageContainer,
  version: string,
): Recipe {
  return {
    version,
    container,
    seed,
    format,
    quality,
    longestText: material.longestText,
    fonts: digestOfFonts(material),
    ownWords: digest(material.ownWords),
    ownShare: material.ownWords.length > 0 ? material.ownShare : 0,
    photographs: digest(material.photographs.map(({ data }) => data)),
  };
}

function digestOfFonts({ families }: SynthesisMaterial): string {
  return digest(
    families.flatMap(({ name, category, faces }) => [
      name,
      category ?? '',
      ...faces.flatMap(({ points, advances }) => [bytesOf(points), bytesOf(advances)]),
    ]),
  );
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function digest(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest('hex').slice(0, 16);
}

/**
 * Makes a folder ready: a new one gets the recipe, in one that has it the run is continued.
 * @throws Error if the folder holds something else, or was made by another recipe
 */
export async function claimFolder(folder: string, recipe: Recipe): Promise<void> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, fileName);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) {
    const names = await readdir(folder);
    if (names.some((name) => unfinishedFile(name) !== fileName)) {
      throw new Error(
        `${folder} holds files that were not made by synth (there is no ${fileName}); give a new folder.`,
      );
    }
    try {
      for (const name of names) await rm(join(folder, name), { force: true });
      await writeWholeFile(path, (file) => file.writeFile(`${JSON.stringify(recipe, null, 2)}\n`));
    } catch (error) {
      throw dataSetError(path, fileError(path, error));
    }
    return;
  }
  const difference = differenceBetween(parsed(text), recipe);
  if (difference)
    throw new Error(
      `${folder} was made with ${difference}; give the same options to continue it, or a new folder.`,
    );
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function differenceBetween(made: Readonly<Record<string, unknown>>, recipe: Recipe): string | undefined {
  const different = Object.keys(recipe).find((key) => made[key] !== recipe[key]);
  if (different === undefined) return undefined;
  const value = String(made[different]).slice(0, 60);
  return `${different} ${value}, not ${recipe[different]}`;
}
