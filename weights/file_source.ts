/** Files on disk, for Node. */
import { constants, open, type FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { assertRange, type ByteSource } from './byte_source.js';
import { CheckpointError } from './errors.js';

/** One read of the operating system; Linux itself stops at 2 GB. */
const LARGEST_READ_BYTES = 1 << 30;

/** An open file, read by position, so that offsets beyond 4 GB and parallel reads work. */
export class FileSource implements ByteSource {
  private constructor(
    private readonly handle: FileHandle,
    readonly name: string,
    readonly size: number,
  ) {}

  /** @throws CheckpointError when the path cannot be opened or is no regular file. */
  static async open(path: string): Promise<FileSource> {
    const name = basename(path);
    let handle: FileHandle | undefined;
    try {
      // Without waiting: opening a pipe that nobody writes to would never end. Windows has no such flag.
      handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
      const status = await handle.stat();
      if (!status.isFile()) throw new CheckpointError(name, 'is not a regular file');
      return new FileSource(handle, name, status.size);
    } catch (error) {
      await handle?.close();
      throw fileError(name, error);
    }
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    assertRange(this, offset, length);
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.handle
        .read(bytes, done, Math.min(length - done, LARGEST_READ_BYTES), offset + done)
        .catch((error: unknown) => {
          throw fileError(this.name, error);
        });
      if (bytesRead === 0) {
        throw new CheckpointError(this.name, `ended at byte ${offset + done} while it was read`);
      }
      done += bytesRead;
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

/** Turns an error of the file system into one clear line. */
export function fileError(name: string, error: unknown): CheckpointError {
  if (error instanceof CheckpointError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const reason =
    code === 'ENOENT'
      ? 'no such file'
      : code === 'EACCES' || code === 'EPERM'
        ? 'may not be read or written: permission denied'
        : code === 'ENOSPC'
          ? 'cannot be written: the disk is full'
          : error instanceof Error
            ? error.message
            : String(error);
  return new CheckpointError(name, reason, { cause: error });
}
