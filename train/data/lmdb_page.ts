/**
 * Pages of the LMDB file format (version 0.9, written by 64-bit little-endian machines). A file is a row of pages of
 * one size, each beginning with its own number. Pages 0 and 1 hold the two latest states of the file; keys and values
 * lie in the leaves of a B+ tree, values that are too large for a leaf in runs of pages of their own.
 */

import { DataSetError } from './errors.js';

export const PAGE_HEADER_BYTES = 16;
export const NODE_HEADER_BYTES = 8;
/** Bytes of a node's offset, of which a page has one a node. */
export const OFFSET_BYTES = 2;
/** Bytes of the page number that stands in a leaf for a value stored elsewhere. */
export const PAGE_NUMBER_BYTES = 8;
export const META_BYTES = 136;

export const META_MAGIC = 0xbeefc0de;
export const META_VERSION = 1;
/** Stands for the root of an empty tree. */
export const NO_PAGE = 0xffff_ffff_ffff_ffffn;
/** Levels that a tree can have. */
export const MOST_LEVELS = 32;

export const pageKind = { branch: 0x01, leaf: 0x02, overflow: 0x04, meta: 0x08 } as const;
/** All flags that say what a page is; the others are of no concern to a reader. */
const KINDS = 0x6f;
/** Flag of a leaf's node whose value lies in pages of its own. */
export const STORED_ELSEWHERE = 0x01;

/** One state of a file: where the tree of its main database is, and how large. */
export interface LmdbMeta {
  readonly pageBytes: number;
  /** Flags of the main database: keys that are no plain bytes, or several values a key. */
  readonly flags: number;
  readonly levels: number;
  readonly entries: number;
  /** Page number; undefined for an empty tree. */
  readonly root: number | undefined;
  readonly lastPage: number;
  readonly transaction: number;
}

/** A key of a leaf, its bytes as characters of Latin-1, so that texts compare as bytes do. */
export interface LmdbEntry {
  readonly key: string;
  readonly valueBytes: number;
  /** The value itself, or the first of the pages it lies in. */
  readonly value: Uint8Array | number;
}

/** @throws Error whose message says what is wrong with the bytes of page 0 or 1 */
export function parseMeta(bytes: Uint8Array, pageNumber: number): LmdbMeta {
  const view = viewOf(bytes);
  if (view.getUint32(PAGE_HEADER_BYTES, true) !== META_MAGIC) {
    throw new Error(
      view.getUint32(PAGE_HEADER_BYTES, false) === META_MAGIC
        ? 'was written by a big-endian machine; dump and load it again on this one'
        : `is no LMDB file, or damaged: page ${pageNumber} has no LMDB header`,
    );
  }
  const version = view.getUint32(PAGE_HEADER_BYTES + 4, true);
  if (version !== META_VERSION) {
    throw new Error(
      `has LMDB data format ${version}; only ${META_VERSION}, that of LMDB 0.9, is read. Write it with LMDB 0.9`,
    );
  }
  const free = PAGE_HEADER_BYTES + 24;
  const main = free + 48;
  const end = main + 48;
  const pageBytes = view.getUint32(free, true);
  if (pageBytes < 256 || pageBytes > 65536 || (pageBytes & (pageBytes - 1)) !== 0) {
    throw new Error(`says that its pages have ${pageBytes} bytes: damaged, or written by a 32-bit machine`);
  }
  const root = view.getBigUint64(main + 40, true);
  const meta = {
    pageBytes,
    flags: view.getUint16(main + 4, true),
    levels: view.getUint16(main + 6, true),
    entries: Number(view.getBigUint64(main + 32, true)),
    root: root === NO_PAGE ? undefined : Number(root),
    lastPage: Number(view.getBigUint64(end, true)),
    transaction: Number(view.getBigUint64(end + 8, true)),
  };
  if (
    meta.root !== undefined &&
    (meta.levels < 1 || meta.levels > MOST_LEVELS || meta.root > meta.lastPage)
  ) {
    throw new Error(`is damaged: its tree has ${meta.levels} levels and begins at page ${meta.root}`);
  }
  return meta;
}

/** A page of the tree. Whatever its bytes are, nothing beyond them is read. */
export class TreePage {
  readonly isLeaf: boolean;
  readonly count: number;
  readonly #view: DataView;

  /**
   * @param file named in messages
   * @throws DataSetError, as all methods do, when the page is damaged
   */
  constructor(
    private readonly bytes: Uint8Array,
    readonly number: number,
    private readonly file: string,
  ) {
    this.#view = viewOf(bytes);
    const stored = this.#view.getBigUint64(0, true);
    if (stored !== BigInt(number)) throw this.#damaged(`calls itself page ${stored}`);
    const kind = this.#view.getUint16(10, true) & KINDS;
    if (kind !== pageKind.branch && kind !== pageKind.leaf) throw this.#damaged(`is of kind ${kind}`);
    this.isLeaf = kind === pageKind.leaf;
    const lower = this.#view.getUint16(12, true);
    this.count = (lower - PAGE_HEADER_BYTES) / OFFSET_BYTES;
    if (!Number.isInteger(this.count) || this.count < 1 || lower > bytes.length) {
      throw this.#damaged(`ends its list of nodes at byte ${lower}`);
    }
  }

  /** Bytes of a node's key as Latin-1. */
  key(index: number): string {
    const { start, keyBytes } = this.#node(index);
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + start, keyBytes).toString('latin1');
  }

  /** Page number below a node of a branch. */
  child(index: number): number {
    const { offset } = this.#node(index);
    return this.#view.getUint32(offset, true) + this.#view.getUint16(offset + 4, true) * 2 ** 32;
  }

  /** A node of a leaf; a value stored in the page is a copy. */
  entry(index: number): LmdbEntry {
    const { offset, start, keyBytes } = this.#node(index);
    const valueBytes = this.#view.getUint32(offset, true);
    const flags = this.#view.getUint16(offset + 4, true);
    const begin = start + keyBytes;
    if (flags !== 0 && flags !== STORED_ELSEWHERE) {
      throw this.#damaged(`has a value of kind ${flags} (several values a key, or a database in it)`);
    }
    const elsewhere = flags === STORED_ELSEWHERE;
    const inPage = elsewhere ? PAGE_NUMBER_BYTES : valueBytes;
    if (begin + inPage > this.bytes.length) throw this.#damaged(`has a value that leaves the page`);
    const value = elsewhere
      ? Number(this.#view.getBigUint64(begin, true))
      : this.bytes.slice(begin, begin + valueBytes);
    return { key: this.key(index), valueBytes, value };
  }

  /** Index of the first key that is not less than `key`; `count` if there is none. */
  firstFrom(key: string): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.key(middle) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Index of a branch's node that leads to `key`. The first node's own key does not count: it stands for the least. */
  indexTowards(key: string): number {
    let low = 1;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.key(middle) <= key) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #node(index: number): { offset: number; start: number; keyBytes: number } {
    const offset = this.#view.getUint16(PAGE_HEADER_BYTES + index * OFFSET_BYTES, true);
    const start = offset + NODE_HEADER_BYTES;
    if (start > this.bytes.length) throw this.#damaged(`has a node at byte ${offset}`);
    const keyBytes = this.#view.getUint16(offset + 6, true);
    if (start + keyBytes > this.bytes.length) throw this.#damaged(`has a key of ${keyBytes} bytes`);
    return { offset, start, keyBytes };
  }

  #damaged(what: string): DataSetError {
    return new DataSetError(this.file, `is damaged: page ${this.number} ${what}`);
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
