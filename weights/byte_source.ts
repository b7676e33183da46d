import { CheckpointError } from './errors.js';

/** Random access to the bytes of one file, wherever they are. */
export interface ByteSource {
  /** File name for messages. */
  readonly name: string;
  /** Length in bytes; may exceed 4 GB. */
  readonly size: number;
  /**
   * Exactly `length` bytes from `offset`. The caller must not write to them: they may be a view.
   * @throws CheckpointError when the range reaches beyond the end.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** @throws CheckpointError unless `[offset, offset + length)` lies within the source. */
export function assertRange(source: ByteSource, offset: number, length: number): void {
  const end = offset + length;
  if (!(offset >= 0 && length >= 0 && end <= source.size)) {
    throw new CheckpointError(
      source.name,
      `bytes ${offset} to ${end} are needed, but the file has ${source.size}; it is truncated or damaged`,
    );
  }
}

/** Bytes already in memory; reads are views, nothing is copied. */
export class MemorySource implements ByteSource {
  readonly #bytes: Uint8Array;

  constructor(
    bytes: Uint8Array | ArrayBuffer,
    readonly name: string,
  ) {
    this.#bytes = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  }

  get size(): number {
    return this.#bytes.byteLength;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    assertRange(this, offset, length);
    return this.#bytes.subarray(offset, offset + length);
  }

  async close(): Promise<void> {}
}

/** A Blob, or a File chosen by the user of a browser; only the ranges asked for are read. */
export class BlobSource implements ByteSource {
  readonly #blob: Blob;

  constructor(
    blob: Blob,
    readonly name: string,
  ) {
    this.#blob = blob;
  }

  get size(): number {
    return this.#blob.size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    assertRange(this, offset, length);
    return new Uint8Array(await this.#blob.slice(offset, offset + length).arrayBuffer());
  }

  async close(): Promise<void> {}
}
