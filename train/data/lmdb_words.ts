/** Data sets of words in LMDB, as PARSeq and CLIP4STR have them: `num-samples`, `image-%09d`, `label-%09d`, from 1. */
import { dirname, join } from 'node:path';
import { DataSetError } from './errors.js';
import { LmdbFile } from './lmdb_file.js';
import type { LmdbEntry } from './lmdb_page.js';
import { PackedStrings } from './packed_strings.js';
import {
  type DataSetReport,
  DropCounter,
  LARGEST_IMAGE_BYTES,
  LARGEST_LABEL_BYTES,
  type OpenOptions,
  type WordDataSet,
  type WordSample,
} from './word_data_set.js';

/** File of an LMDB folder. */
export const LMDB_FILE = 'data.mdb';
/** Numbers have nine digits, and more would not sort as numbers. */
export const MOST_RECORDS = 999_999_999;
export const COUNT_KEY = 'num-samples';
const LONGEST_COUNT_BYTES = 64;
const IMAGES = 'image-';
const LABELS = 'label-';
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @param record from 1 */
export function imageKey(record: number): string {
  return IMAGES + String(record).padStart(9, '0');
}

/** @param record from 1 */
export function labelKey(record: number): string {
  return LABELS + String(record).padStart(9, '0');
}

export class LmdbWords implements WordDataSet {
  private readonly labels = new PackedStrings();
  private readonly records: number[] = [];

  private constructor(
    readonly name: string,
    private readonly folder: string,
    private readonly file: LmdbFile,
  ) {}

  /**
   * Opens a data set and reads its labels; images are read when they are asked for. The file is opened for reading
   * alone, and nothing is written beside it.
   * @param path of `data.mdb`
   * @throws DataSetError when it is no such data set, or damaged where its labels are
   */
  static async open(
    path: string,
    name: string,
    options: OpenOptions,
  ): Promise<{ set: LmdbWords; report: DataSetReport }> {
    const file = await LmdbFile.open(path);
    try {
      const set = new LmdbWords(name, dirname(path), file);
      return { set, report: await set.readLabels(options) };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get length(): number {
    return this.records.length;
  }

  label(index: number): string {
    return this.labels.at(index);
  }

  source(index: number): string {
    return this.sourceOf(this.records[index]!);
  }

  async sample(index: number): Promise<WordSample> {
    const label = this.labels.at(index);
    const key = imageKey(this.records[index]!);
    const entry = await this.file.find(key);
    if (!entry) throw new DataSetError(this.file.path, `has no ${key}, though num-samples counts it`);
    return { image: await this.file.value(entry, LARGEST_IMAGE_BYTES), label, source: this.source(index) };
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  private sourceOf(record: number): string {
    return `${this.folder}#${record}`;
  }

  private async readLabels({ filter, signal, onDropped }: OpenOptions): Promise<DataSetReport> {
    const count = await this.readCount();
    if (this.file.isShort) await this.checkImages();
    const drops = new DropCounter(onDropped);
    let next = 1;
    const missingBefore = (record: number): void => {
      const missing = record - next;
      const range = missing > 1 ? ` to ${record - 1}` : '';
      if (missing > 0) drops.add(this.sourceOf(next) + range, 'has no label', null, missing);
      next = record + 1;
    };
    for await (const { entry, record } of this.numbered(LABELS)) {
      signal?.throwIfAborted();
      if (record > count) break;
      missingBefore(record);
      const text = await this.labelText(entry);
      if (text === undefined) {
        drops.add(this.sourceOf(record), 'the label is no UTF-8 text of a word');
        continue;
      }
      const outcome = filter(text);
      if ('dropped' in outcome) drops.add(this.sourceOf(record), outcome.dropped, text);
      else {
        this.labels.push(outcome.label);
        this.records.push(record);
      }
    }
    missingBefore(count + 1);
    const { name, folder, length } = this;
    return { name, path: folder, kind: 'lmdb', records: count, kept: length, dropped: drops.dropped };
  }

  private async readCount(): Promise<number> {
    const entry = await this.file.find(COUNT_KEY);
    if (!entry) {
      throw new DataSetError(
        this.file.path,
        `has no ${COUNT_KEY}: no data set of word images as PARSeq and CLIP4STR have them, or not written to its end`,
      );
    }
    const text = Buffer.from(await this.file.value(entry, LONGEST_COUNT_BYTES)).toString('latin1');
    const count = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    // Each record has a label at least, and one key is the count itself.
    if (!(count < this.file.entries && count <= MOST_RECORDS)) {
      throw new DataSetError(
        this.file.path,
        `${COUNT_KEY} is ${JSON.stringify(text)}, but the file has ${this.file.entries} keys: damaged, or not written to its end`,
      );
    }
    return count;
  }

  private async labelText(entry: LmdbEntry): Promise<string | undefined> {
    if (entry.valueBytes > LARGEST_LABEL_BYTES) return undefined;
    try {
      return utf8.decode(await this.file.value(entry, LARGEST_LABEL_BYTES));
    } catch (error) {
      if (error instanceof DataSetError) throw error;
      return undefined;
    }
  }

  /** Finds out whether a file that is shorter than it says has lost images. */
  private async checkImages(): Promise<void> {
    for await (const { entry } of this.numbered(IMAGES)) {
      if (!this.file.holds(entry)) {
        throw new DataSetError(
          this.file.path,
          `is truncated: ${entry.key} lies beyond its end. Copy it again`,
        );
      }
    }
  }

  /** Entries `<prefix>%09d` with their numbers, which rise. */
  private async *numbered(prefix: string): AsyncGenerator<{ entry: LmdbEntry; record: number }, void> {
    for await (const entries of this.file.entriesFrom(prefix)) {
      for (const entry of entries) {
        if (!entry.key.startsWith(prefix)) return;
        const digits = entry.key.slice(prefix.length);
        const record = /^\d{9}$/.test(digits) ? Number(digits) : 0;
        if (record > 0) yield { entry, record };
      }
    }
  }
}

/** The data file that a path stands for: itself, or the one in a folder. */
export function lmdbFileIn(folder: string): string {
  return join(folder, LMDB_FILE);
}
