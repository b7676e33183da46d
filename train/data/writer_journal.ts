/** What an unfinished data set knows of itself, so that a run that was killed can be continued. */
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { z } from 'zod';
import { DataSetError } from './errors.js';
import { PAGE_BYTES } from './lmdb_builder.js';

const headerShape = z.object({ unfinishedDataSet: z.literal(1), identity: z.string() });

const commitShape = z.object({
  /** Page number of a finished leaf; all pages before it are written too. */
  page: z.int().min(2),
  /** Number of the leaf's first record. */
  first: z.int().min(1),
  /** Labels of the leaf's records. */
  labels: z.array(z.string()).min(1),
  /** Inputs dealt with up to the end of the leaf, those left out included. */
  inputs: z.int().min(1),
});

/** One finished leaf of images. */
export type Commit = z.infer<typeof commitShape>;

/** Lines of JSON beside the data: a header that tells what the data set is made from, then a line a leaf. */
export class WriterJournal {
  private constructor(
    private readonly handle: FileHandle,
    private bytes: number,
  ) {}

  /**
   * Opens or begins a journal. Lines that were not written whole, or tell of more than the data file has, are cut off.
   * @param dataBytes of the data file
   * @throws DataSetError when the journal is of a data set made from something else
   */
  static async open(
    path: string,
    identity: string,
    dataBytes: number,
  ): Promise<{ journal: WriterJournal; commits: Commit[] }> {
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    const [first = '', ...lines] = text.split('\n').slice(0, -1);
    const header = headerShape.safeParse(parsed(first)).data;
    if (header && header.identity !== identity) {
      throw new DataSetError(
        path,
        'tells of an unfinished data set made from other inputs. Give the same inputs to continue it, ' +
          'or remove this file to begin anew',
      );
    }
    const kept = header ? commitsOf(lines, dataBytes) : [];
    const begin = JSON.stringify({ unfinishedDataSet: 1, identity });
    const whole = Buffer.from([begin, ...kept.map((commit) => JSON.stringify(commit)), ''].join('\n'));
    const handle = await open(path, 'a');
    try {
      // What is kept is there already, byte for byte.
      await handle.truncate(first === begin ? whole.length : 0);
      if (first !== begin) await handle.writeFile(whole);
      await handle.datasync();
    } catch (error) {
      await handle.close();
      throw error;
    }
    return { journal: new WriterJournal(handle, whole.length), commits: kept };
  }

  async add(commits: readonly Commit[]): Promise<void> {
    const bytes = Buffer.from(commits.map((commit) => `${JSON.stringify(commit)}\n`).join(''));
    await this.handle.writeFile(bytes);
    await this.handle.datasync();
    this.bytes += bytes.length;
  }

  /** Whether nobody else has written to the journal. */
  async isOurs(): Promise<boolean> {
    return (await this.handle.stat()).size === this.bytes;
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

function commitsOf(lines: readonly string[], dataBytes: number): Commit[] {
  const commits: Commit[] = [];
  for (const line of lines) {
    const commit = commitShape.safeParse(parsed(line)).data;
    const before = commits.at(-1);
    const follows =
      commit !== undefined &&
      JSON.stringify(commit) === line &&
      commit.first === (before ? before.first + before.labels.length : 1) &&
      commit.page > (before?.page ?? 0) &&
      (commit.page + 1) * PAGE_BYTES <= dataBytes;
    if (!follows) break;
    commits.push(commit);
  }
  return commits;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
