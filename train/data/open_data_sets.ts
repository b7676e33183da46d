/** Many data sets as one. */
import { type FoundDataSet, findDataSets } from './find_data_sets.js';
import { ListWords } from './list_words.js';
import { LmdbWords } from './lmdb_words.js';
import type { DataSetReport, OpenOptions, WordDataSet, WordSample } from './word_data_set.js';

/** Data sets one after the other, with a report of what each one gave. */
export class JoinedDataSets implements WordDataSet {
  readonly length: number;
  private readonly starts: readonly number[];

  constructor(
    readonly name: string,
    readonly parts: readonly WordDataSet[],
    readonly reports: readonly DataSetReport[],
  ) {
    const starts: number[] = [];
    let length = 0;
    for (const part of parts) {
      starts.push(length);
      length += part.length;
    }
    this.starts = starts;
    this.length = length;
  }

  label(index: number): string {
    const { part, at } = this.place(index);
    return part.label(at);
  }

  source(index: number): string {
    const { part, at } = this.place(index);
    return part.source(at);
  }

  async sample(index: number): Promise<WordSample> {
    const { part, at } = this.place(index);
    return part.sample(at);
  }

  async close(): Promise<void> {
    for (const part of this.parts) await part.close();
  }

  private place(index: number): { part: WordDataSet; at: number } {
    if (!Number.isInteger(index) || index < 0 || index >= this.length) {
      throw new RangeError(
        `${this.name}: sample ${index} of ${this.length}: the index must be a whole number below ${this.length}.`,
      );
    }
    let low = 0;
    let high = this.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle]! <= index) low = middle;
      else high = middle - 1;
    }
    return { part: this.parts[low]!, at: index - this.starts[low]! };
  }
}

/**
 * Opens all data sets of the roots: LMDB folders, folders with a list, lists, and trees of them (see
 * {@link findDataSets}). Labels pass the filter and stay in memory; images are read when they are asked for.
 * @throws DataSetError in one line when one of them cannot be used; then none stays open
 */
export async function openDataSets(roots: readonly string[], options: OpenOptions): Promise<JoinedDataSets> {
  const parts: WordDataSet[] = [];
  const reports: DataSetReport[] = [];
  try {
    for (const root of roots) {
      for (const found of await findDataSets(root, options.signal)) {
        const { set, report } = await openOne(found, options);
        parts.push(set);
        reports.push(report);
      }
    }
  } catch (error) {
    for (const part of parts) await part.close();
    throw error;
  }
  return new JoinedDataSets(roots.join(', '), parts, reports);
}

function openOne(
  { kind, path, name }: FoundDataSet,
  options: OpenOptions,
): Promise<{ set: WordDataSet; report: DataSetReport }> {
  return kind === 'lmdb' ? LmdbWords.open(path, name, options) : ListWords.open(path, name, options);
}
