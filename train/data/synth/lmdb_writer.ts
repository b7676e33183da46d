/** Images as records of an LMDB data set. */
import { createHash } from 'node:crypto';
import { WordSetWriter } from '../word_set_writer.js';
import type { Recipe } from './recipe.js';
import type { WordWriter } from './word_writer.js';

/** `data.mdb` in a folder, as PARSeq and CLIP4STR have it. A run that was killed is continued by the same recipe. */
export class LmdbWriter implements WordWriter {
  private constructor(private readonly set: WordSetWriter) {}

  /** @throws DataSetError if the folder holds a data set already, or cannot be written */
  static async open(folder: string, recipe: Recipe): Promise<LmdbWriter> {
    const identity = createHash('sha256').update(JSON.stringify(recipe)).digest('hex');
    return new LmdbWriter(await WordSetWriter.open(folder, identity));
  }

  get written(): number {
    return this.set.records;
  }

  async write(index: number, image: Uint8Array, label: string): Promise<void> {
    if (index !== this.written) throw new RangeError(`image ${index} after ${this.written} images.`);
    await this.set.add(image, label);
  }

  async finish(): Promise<void> {
    await this.set.finish();
  }

  async pause(): Promise<void> {
    await this.set.pause();
  }
}
