/** Images as files in a folder, with a list of their labels. */
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileError } from '../../../weights/file_source.js';
import { DataSetError, dataSetError } from '../errors.js';
import type { WordWriter } from './word_writer.js';

export type ImageFormat = 'jpg' | 'png';

const filesPerFolder = 1000;
const listName = 'labels.tsv';
const newline = 0x0a;

/**
 * `labels.tsv` with a line an image, its path and its label with a tab between, and images in folders of a thousand. A
 * label is written after its image is, so that a run that was killed goes on with the first image without one.
 */
export class LabelledFolder implements WordWriter {
  private constructor(
    private readonly folder: string,
    private readonly format: ImageFormat,
    private readonly labels: FileHandle,
    private count: number,
    private bytes: number,
  ) {}

  /** @throws DataSetError if the folder cannot be made or the list not be written */
  static async open(folder: string, format: ImageFormat): Promise<LabelledFolder> {
    const path = join(folder, listName);
    return attempt(path, () => LabelledFolder.openList(folder, format, path));
  }

  private static async openList(folder: string, format: ImageFormat, path: string): Promise<LabelledFolder> {
    await mkdir(folder, { recursive: true });
    const labels = await open(path, 'a+');
    try {
      const { lines, bytes } = await completeLines(path);
      // The line that was being written when the run was killed.
      await labels.truncate(bytes);
      return new LabelledFolder(folder, format, labels, lines, bytes);
    } catch (error) {
      await labels.close();
      throw error;
    }
  }

  get written(): number {
    return this.count;
  }

  async write(index: number, image: Uint8Array, label: string): Promise<void> {
    if (index !== this.count) throw new RangeError(`image ${index} after ${this.count} images.`);
    const path = pathOf(index, this.format);
    const file = join(this.folder, path);
    await attempt(file, async () => {
      if (index % filesPerFolder === 0 || this.count === 0) await mkdir(dirname(file), { recursive: true });
      await writeFile(file, image);
    });
    const line = Buffer.from(`${path}\t${label}\n`);
    try {
      await attempt(join(this.folder, listName), () => this.labels.appendFile(line));
    } catch (error) {
      await this.labels.truncate(this.bytes).catch(() => undefined);
      throw error;
    }
    this.bytes += line.length;
    this.count += 1;
  }

  async finish(): Promise<void> {
    await this.labels.close();
  }

  async pause(): Promise<void> {
    await this.labels.close();
  }
}

/** @throws DataSetError that names the file in place of the system's error */
async function attempt<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC') throw dataSetError(path, fileError(path, error));
    const problem =
      'cannot be written: the disk is full. Make room; the same command then goes on where it ended';
    throw new DataSetError(path, problem, { cause: error });
  }
}

function pathOf(index: number, format: ImageFormat): string {
  const folder = String(Math.floor(index / filesPerFolder)).padStart(5, '0');
  return `${folder}/${String(index).padStart(9, '0')}.${format}`;
}

async function completeLines(path: string): Promise<{ lines: number; bytes: number }> {
  let [lines, bytes, read] = [0, 0, 0];
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, at + 1)) {
      lines += 1;
      bytes = read + at + 1;
    }
    read += chunk.length;
  }
  return { lines, bytes };
}
