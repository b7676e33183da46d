/** A file that grows record by record, for Node. */
import { type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileError } from '../../weights/file_source.js';

/**
 * Appends records. Each is written at the end of the last whole one, so that what a failed write left is written over.
 * A process that is killed loses at most the record it was writing.
 */
export class AppendedFile {
  private constructor(
    readonly path: string,
    private readonly file: FileHandle,
    private endBytes: number,
  ) {}

  /**
   * @param flags `wx` for a file that must not be there yet, `r+` for one that is and goes on
   * @throws CheckpointError if it cannot be opened
   */
  static async open(path: string, flags: 'wx' | 'r+'): Promise<AppendedFile> {
    try {
      const file = await open(path, flags);
      return new AppendedFile(path, file, (await file.stat()).size);
    } catch (error) {
      throw fileError(basename(path), error);
    }
  }

  /** @throws CheckpointError if the record could not be written whole, as on a full disk */
  async append(record: Uint8Array): Promise<void> {
    try {
      for (let written = 0; written < record.length;) {
        const { bytesWritten } = await this.file.write(
          record,
          written,
          record.length - written,
          this.endBytes + written,
        );
        written += bytesWritten;
      }
    } catch (error) {
      throw fileError(basename(this.path), error);
    }
    this.endBytes += record.length;
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}
