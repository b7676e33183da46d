/**
 * Reading LMDB files without the LMDB library: pages are read by position and checked, so nothing is mapped into memory,
 * no lock file is written beside the data, and a damaged file ends in an error instead of a crash.
 */
import { FileSource } from '../../weights/file_source.js';
import { DataSetError, dataSetError } from './errors.js';
import {
  type LmdbEntry,
  type LmdbMeta,
  META_BYTES,
  PAGE_HEADER_BYTES,
  TreePage,
  pageKind,
  parseMeta,
  viewOf,
} from './lmdb_page.js';

/** Pages kept of one file: the upper levels of its tree, and the leaves read last. */
const CACHED_BYTES = 4 * 1024 * 1024;

/** An LMDB file of the 0.9 format, open for reading. It must not be written to meanwhile. */
export class LmdbFile {
  private readonly cache = new Map<number, Promise<TreePage>>();

  private constructor(
    /** Path of the file, for messages. */
    readonly path: string,
    private readonly source: FileSource,
    private readonly meta: LmdbMeta,
  ) {}

  /** @throws DataSetError when the file cannot be opened or is no such LMDB file */
  static async open(path: string): Promise<LmdbFile> {
    let source: FileSource | undefined;
    try {
      source = await FileSource.open(path);
      return new LmdbFile(path, source, await readMeta(source));
    } catch (error) {
      await source?.close();
      throw dataSetError(path, error);
    }
  }

  /** Keys in the file, as it says itself. */
  get entries(): number {
    return this.meta.entries;
  }

  /** Whether the file has fewer bytes than it says; what is missing need not be in use. */
  get isShort(): boolean {
    return this.source.size < (this.meta.lastPage + 1) * this.meta.pageBytes;
  }

  /** Whether the file has all bytes of an entry's value. */
  holds({ value, valueBytes }: LmdbEntry): boolean {
    return (
      typeof value !== 'number' ||
      value * this.meta.pageBytes + PAGE_HEADER_BYTES + valueBytes <= this.source.size
    );
  }

  /**
   * The entry of a key, or undefined.
   * @throws DataSetError for a damaged page
   */
  async find(key: string): Promise<LmdbEntry | undefined> {
    if (this.meta.root === undefined) return undefined;
    let page = await this.page(this.meta.root, this.meta.levels);
    for (let level = this.meta.levels; level > 1; level--) {
      page = await this.page(page.child(page.indexTowards(key)), level - 1);
    }
    const index = page.firstFrom(key);
    return index < page.count && page.key(index) === key ? page.entry(index) : undefined;
  }

  /**
   * Entries in rising order of their keys, from the first one that is not less than `from`; a leaf's at once.
   * @throws DataSetError for a damaged page, or keys that do not rise (so that no damage makes it endless)
   */
  async *entriesFrom(from: string): AsyncGenerator<LmdbEntry[], void> {
    if (this.meta.root === undefined) return;
    let last = '';
    for await (const page of this.leaves(this.meta.root, this.meta.levels, from)) {
      const entries: LmdbEntry[] = [];
      for (let index = 0; index < page.count; index++) {
        const key = page.key(index);
        if (key <= last)
          throw new DataSetError(this.path, `is damaged: the keys of page ${page.number} do not rise`);
        last = key;
        if (key >= from) entries.push(page.entry(index));
      }
      yield entries;
    }
  }

  /**
   * The bytes of an entry's value.
   * @throws DataSetError when they have more than `mostBytes`, or the file ends before
   */
  async value(entry: LmdbEntry, mostBytes: number): Promise<Uint8Array> {
    const { key, value, valueBytes } = entry;
    if (valueBytes > mostBytes) {
      throw new DataSetError(this.path, `${key} has ${valueBytes} bytes; at most ${mostBytes} are read`);
    }
    if (typeof value !== 'number') return value;
    const { pageBytes } = this.meta;
    const bytes = await this.read(value * pageBytes, PAGE_HEADER_BYTES + valueBytes);
    const header = viewOf(bytes);
    const isRight =
      header.getBigUint64(0, true) === BigInt(value) &&
      (header.getUint16(10, true) & pageKind.overflow) !== 0 &&
      header.getUint32(12, true) * pageBytes >= bytes.length;
    if (!isRight) throw new DataSetError(this.path, `is damaged: page ${value} does not hold ${key}`);
    return bytes.subarray(PAGE_HEADER_BYTES);
  }

  async close(): Promise<void> {
    this.cache.clear();
    await this.source.close();
  }

  /** The leaves below a page, from the one where `from` would be. */
  private async *leaves(number: number, level: number, from: string): AsyncGenerator<TreePage, void> {
    const page = await this.page(number, level);
    if (level === 1) {
      yield page;
      return;
    }
    for (let index = page.indexTowards(from); index < page.count; index++) {
      yield* this.leaves(page.child(index), level - 1, from);
    }
  }

  /** @param level 1 for leaves */
  private async page(number: number, level: number): Promise<TreePage> {
    const page = await (this.cache.get(number) ?? this.load(number));
    // What was asked for last is kept longest.
    const held = this.cache.get(number);
    if (held) {
      this.cache.delete(number);
      this.cache.set(number, held);
    }
    if (page.isLeaf !== (level === 1)) {
      throw new DataSetError(this.path, `is damaged: page ${number} stands at the wrong level of the tree`);
    }
    return page;
  }

  private load(number: number): Promise<TreePage> {
    const { pageBytes } = this.meta;
    const coming = this.read(number * pageBytes, pageBytes)
      .then((bytes) => new TreePage(bytes, number, this.path))
      .catch((error: unknown) => {
        this.cache.delete(number);
        throw error;
      });
    this.cache.set(number, coming);
    if (this.cache.size * pageBytes > CACHED_BYTES) {
      for (const oldest of this.cache.keys()) {
        this.cache.delete(oldest);
        break;
      }
    }
    return coming;
  }

  private async read(offset: number, length: number): Promise<Uint8Array> {
    return this.source.read(offset, length).catch((error: unknown) => {
      throw dataSetError(this.path, error);
    });
  }
}

/** The later of a file's two states. */
async function readMeta(source: FileSource): Promise<LmdbMeta> {
  const first = parseMeta(await source.read(0, PAGE_HEADER_BYTES + META_BYTES), 0);
  const second = parseMeta(await source.read(first.pageBytes, PAGE_HEADER_BYTES + META_BYTES), 1);
  const meta = first.transaction < second.transaction ? second : first;
  if (meta.flags !== 0) {
    throw new Error(`is no data set of word images: its database is of kind ${meta.flags}, expected 0`);
  }
  return meta;
}
