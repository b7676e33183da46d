/** Writing data sets of words as LMDB, so that a run that is killed can be continued. */
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError } from '../../weights/file_source.js';
import { makeFolder } from '../../weights/output_target.js';
import { DataSetError, dataSetError } from './errors.js';
import { type BuilderState, LmdbBuilder, META_PAGES, PAGE_BYTES } from './lmdb_builder.js';
import { COUNT_KEY, MOST_RECORDS, imageKey, labelKey, lmdbFileIn } from './lmdb_words.js';
import { PackedStrings } from './packed_strings.js';
import { type Commit, WriterJournal } from './writer_journal.js';

/** Bytes collected before they are written. */
const WRITE_BYTES = 1024 * 1024;
/** Bytes and time after which what is written is made safe against a loss of power. */
const COMMIT_BYTES = 8 * 1024 * 1024;
const COMMIT_MS = 1000;

/**
 * Writes `<folder>/data.mdb` from inputs in a fixed order, each of which is added or skipped. Until the end the data is in
 * `data.mdb.part`, with `data.mdb.journal` beside it. A run that was killed is continued by another with the same
 * inputs, and gives the same file, byte for byte: a leaf of the tree is complete or not there, and images before labels
 * are in the order of the keys.
 */
export class WordSetWriter {
  private readonly openLabels: string[] = [];
  private readonly commits: Commit[] = [];
  private readonly pages: Uint8Array[] = [];
  private pageBytes = 0;
  private uncommittedBytes = 0;
  private committedAtMs = performance.now();
  private inputs: number;
  private failed = false;

  private constructor(
    private readonly folder: string,
    private readonly data: FileHandle,
    private readonly journal: WriterJournal,
    private readonly builder: LmdbBuilder,
    private readonly labels: PackedStrings,
    private writtenBytes: number,
    /** Inputs that an earlier run has dealt with: go on with the one of this index. */
    readonly resumedAt: number,
  ) {
    this.inputs = resumedAt;
  }

  /**
   * Begins a data set, or continues one.
   * @param identity tells what the inputs are; another run continues only with the same
   * @throws DataSetError when there is a data set in the folder, or an unfinished one made from other inputs
   */
  static async open(folder: string, identity: string): Promise<WordSetWriter> {
    try {
      await makeFolder(folder);
      const finished = lmdbFileIn(folder);
      if (await stat(finished).catch(() => undefined)) {
        throw new DataSetError(folder, 'holds a data set already; name another folder');
      }
      const data = await openPart(partPath(folder));
      try {
        const { size } = await data.stat();
        const { journal, commits } = await WriterJournal.open(journalPath(folder), identity, size);
        const { state, labels, inputs } = restored(commits);
        const end = state.nextPage * PAGE_BYTES;
        if (commits.length === 0) await data.truncate(0);
        await data.truncate(end);
        return new WordSetWriter(folder, data, journal, new LmdbBuilder(state), labels, end, inputs);
      } catch (error) {
        await data.close();
        throw error;
      }
    } catch (error) {
      throw writingError(folder, error);
    }
  }

  /** Records of the data set so far. */
  get records(): number {
    return this.labels.length;
  }

  /** Takes the next input in. */
  async add(image: Uint8Array, label: string): Promise<void> {
    const record = this.records + 1;
    if (record > MOST_RECORDS) {
      throw new DataSetError(
        this.folder,
        `would have more than ${MOST_RECORDS} images; make several data sets`,
      );
    }
    const { leafCount } = this.builder;
    this.builder.append(imageKey(record), image);
    if (this.builder.leafCount > leafCount) {
      this.commits.push({
        page: this.builder.lastLeaf!.page,
        first: record - this.openLabels.length,
        labels: this.openLabels.splice(0),
        inputs: this.inputs,
      });
    }
    this.openLabels.push(label);
    this.labels.push(label);
    this.inputs += 1;
    await this.keepUp();
  }

  /** Leaves the next input out. */
  skip(): void {
    this.inputs += 1;
  }

  /**
   * Completes the data set.
   * @returns bytes of the file
   */
  async finish(): Promise<number> {
    try {
      for (let record = 1; record <= this.records; record++) {
        this.builder.append(labelKey(record), Buffer.from(this.labels.at(record - 1)));
        if (record % 1000 === 0) await this.keepUp();
      }
      this.builder.append(COUNT_KEY, Buffer.from(String(this.records)));
      const metaPages = this.builder.finish();
      await this.write(true);
      await this.data.datasync();
      await writeFully(this.data, metaPages, 0);
      await this.data.sync();
      await this.close();
      // In this order: without its journal an unfinished data set is only begun anew.
      await rm(journalPath(this.folder));
      await rename(partPath(this.folder), lmdbFileIn(this.folder));
      return this.writtenBytes;
    } catch (error) {
      this.failed = true;
      throw writingError(this.folder, error);
    }
  }

  /** Ends the run without completing the data set: another run can continue it. */
  async pause(): Promise<void> {
    try {
      if (!this.failed) await this.commit();
    } catch (error) {
      throw writingError(this.folder, error);
    } finally {
      await this.close();
    }
  }

  /** Ends the run and removes what is written. */
  async discard(): Promise<void> {
    await this.close();
    await rm(journalPath(this.folder), { force: true });
    await rm(partPath(this.folder), { force: true });
  }

  private async close(): Promise<void> {
    await this.data.close();
    await this.journal.close();
  }

  private async keepUp(): Promise<void> {
    try {
      await this.write(false);
      const isDue =
        this.uncommittedBytes >= COMMIT_BYTES || performance.now() - this.committedAtMs >= COMMIT_MS;
      if (this.commits.length > 0 && isDue) await this.commit();
    } catch (error) {
      this.failed = true;
      throw writingError(this.folder, error);
    }
  }

  private async commit(): Promise<void> {
    if (this.commits.length === 0) return;
    await this.write(true);
    const isOurs = (await this.data.stat()).size === this.writtenBytes && (await this.journal.isOurs());
    if (!isOurs) throw new Error('another run writes to it as well; end one of them');
    await this.data.datasync();
    await this.journal.add(this.commits.splice(0));
    this.uncommittedBytes = 0;
    this.committedAtMs = performance.now();
  }

  /** @param all also if there is little to write */
  private async write(all: boolean): Promise<void> {
    for (const pages of this.builder.takePages()) {
      this.pages.push(pages);
      this.pageBytes += pages.length;
    }
    if (this.pageBytes === 0 || (!all && this.pageBytes < WRITE_BYTES)) return;
    await writeFully(this.data, Buffer.concat(this.pages.splice(0)), this.writtenBytes);
    this.writtenBytes += this.pageBytes;
    this.uncommittedBytes += this.pageBytes;
    this.pageBytes = 0;
  }
}

const partPath = (folder: string): string => join(folder, 'data.mdb.part');
const journalPath = (folder: string): string => join(folder, 'data.mdb.journal');

async function openPart(path: string): Promise<FileHandle> {
  return open(path, 'r+').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return open(path, 'wx+');
    throw error;
  });
}

function restored(commits: readonly Commit[]): {
  state: BuilderState;
  labels: PackedStrings;
  inputs: number;
} {
  const labels = new PackedStrings();
  for (const commit of commits) commit.labels.forEach((label) => labels.push(label));
  const last = commits.at(-1);
  const state = {
    entries: labels.length,
    leaves: commits.map(({ first, page }) => ({ firstKey: imageKey(first), page })),
    nextPage: last ? last.page + 1 : META_PAGES,
  };
  return { state, labels, inputs: last?.inputs ?? 0 };
}

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

function writingError(folder: string, error: unknown): DataSetError {
  return error instanceof DataSetError ? error : dataSetError(folder, fileError(folder, error));
}
