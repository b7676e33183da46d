/** Data sets of words as image files with a list of what is written on them. */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, relative, resolve, sep } from 'node:path';
import { FileSource } from '../../weights/file_source.js';
import { DataSetError, dataSetError } from './errors.js';
import { type ListFormat, listFormatOf, parseListLine } from './list_lines.js';
import { PackedStrings } from './packed_strings.js';
import { textLines } from './text_lines.js';
import {
  type DataSetReport,
  DropCounter,
  LARGEST_IMAGE_BYTES,
  LARGEST_LABEL_BYTES,
  type OpenOptions,
  type WordDataSet,
  type WordSample,
} from './word_data_set.js';

/** Image files, which must lie in the list's folder or below it. */
export class ListWords implements WordDataSet {
  private readonly labels = new PackedStrings();
  private readonly files = new PackedStrings();
  private readonly folder: string;

  private constructor(
    readonly name: string,
    private readonly path: string,
    private readonly format: ListFormat,
  ) {
    this.folder = dirname(path);
  }

  /**
   * Reads a list and makes sure that its files exist; images are read when they are asked for.
   * @param path of a `.txt`, `.tsv` or `.jsonl` file
   * @throws DataSetError when the list cannot be read
   */
  static async open(
    path: string,
    name: string,
    options: OpenOptions,
  ): Promise<{ set: ListWords; report: DataSetReport }> {
    const format = listFormatOf(path);
    if (!format) throw new DataSetError(path, 'is no list of images: expected a .txt, .tsv or .jsonl file');
    const set = new ListWords(name, path, format);
    try {
      return { set, report: await set.readList(options) };
    } catch (error) {
      options.signal?.throwIfAborted();
      throw dataSetError(path, error);
    }
  }

  get length(): number {
    return this.labels.length;
  }

  label(index: number): string {
    return this.labels.at(index);
  }

  source(index: number): string {
    return this.shown(this.files.at(index));
  }

  async sample(index: number): Promise<WordSample> {
    const source = this.source(index);
    try {
      return {
        image: await readWhole(resolve(this.folder, this.files.at(index))),
        label: this.label(index),
        source,
      };
    } catch (error) {
      throw dataSetError(source, error);
    }
  }

  async close(): Promise<void> {}

  private async readList({ filter, signal, onDropped }: OpenOptions): Promise<DataSetReport> {
    const drops = new DropCounter(onDropped);
    const present = new FolderListings(this.folder);
    let records = 0;
    for await (const { number, text, problem } of textLines(this.path)) {
      signal?.throwIfAborted();
      const line = `${this.path}:${number}`;
      const row = text === undefined ? { problem: problem! } : parseListLine(text, this.format);
      if (!row) continue;
      records += 1;
      if ('problem' in row) {
        drops.add(line, row.problem);
        continue;
      }
      const fault = (await this.placeProblem(row.file, present)) ?? labelProblem(row.label);
      if (fault !== undefined) {
        drops.add(`${line} (${row.file})`, fault, row.label);
        continue;
      }
      const outcome = filter(row.label);
      if ('dropped' in outcome) drops.add(this.shown(row.file), outcome.dropped, row.label);
      else {
        this.files.push(row.file);
        this.labels.push(outcome.label);
      }
    }
    const { name, path, length } = this;
    return { name, path, kind: 'list', records, kept: length, dropped: drops.dropped };
  }

  /** Why a file that is listed cannot be taken. */
  private async placeProblem(file: string, present: FolderListings): Promise<string | undefined> {
    const place = relative(resolve(this.folder), resolve(this.folder, file));
    if (place === '' || file.includes('\0')) return 'names no file';
    if (place.split(sep)[0] === '..' || isAbsolute(place)) return "names a file outside the list's folder";
    return (await present.has(place)) ? undefined : 'the file does not exist';
  }

  /** As messages name it. */
  private shown(file: string): string {
    return isAbsolute(file) ? file : relative('', resolve(this.folder, file));
  }
}

/** Tells which files exist by listing each folder once: asking for files one by one takes minutes for millions. */
class FolderListings {
  private readonly folders = new Map<string, ReadonlySet<string>>();

  constructor(private readonly root: string) {}

  /** @param place below the root */
  async has(place: string): Promise<boolean> {
    const folder = dirname(place);
    let names = this.folders.get(folder);
    if (!names) {
      names = new Set(await readdir(resolve(this.root, folder)).catch(() => []));
      this.folders.set(folder, names);
    }
    // File systems may know a file under other spellings than they list.
    return (
      names.has(basename(place)) ||
      (await stat(resolve(this.root, place)).catch(() => undefined)) !== undefined
    );
  }
}

function labelProblem(label: string): string | undefined {
  return Buffer.byteLength(label) > LARGEST_LABEL_BYTES ? 'the label is no text of a word' : undefined;
}

async function readWhole(path: string): Promise<Uint8Array> {
  const file = await FileSource.open(path);
  try {
    if (file.size > LARGEST_IMAGE_BYTES) {
      throw new Error(`has ${file.size} bytes; at most ${LARGEST_IMAGE_BYTES} are read`);
    }
    return await file.read(0, file.size);
  } finally {
    await file.close();
  }
}
