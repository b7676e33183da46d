/** Images of words with what is written on them. */

/** One image, not decoded. */
export interface WordSample {
  /** Content of an image file. */
  readonly image: Uint8Array;
  /** As the filter leaves it. */
  readonly label: string;
  /** Where it comes from, for messages: the image file, or `<folder>#<record>`. */
  readonly source: string;
}

/** Samples by index, from 0; labels are in memory, images are read when they are asked for. */
export interface WordDataSet {
  readonly name: string;
  readonly length: number;
  label(index: number): string;
  source(index: number): string;
  /** @throws DataSetError when the image cannot be read: the file is gone, or damaged there */
  sample(index: number): Promise<WordSample>;
  close(): Promise<void>;
}

/** Brings a label into the form it is trained in, or says why it is left out. */
export type LabelFilter = (label: string) => { readonly label: string } | { readonly dropped: string };

/** Keeps every label as it is. */
export const keepLabel: LabelFilter = (label) => ({ label });

/** Samples left out for one reason. */
export interface DroppedSamples {
  readonly reason: string;
  readonly count: number;
  /** The first of them: its source, and its label where it has one. */
  readonly example: { readonly source: string; readonly label: string | null };
}

/** What became of the records of one data set. */
export interface DataSetReport {
  readonly name: string;
  /** Folder or file; empty where the words are rendered. */
  readonly path: string;
  readonly kind: 'lmdb' | 'list' | 'synthetic';
  readonly records: number;
  readonly kept: number;
  /** The most frequent reason first. */
  readonly dropped: readonly DroppedSamples[];
}

/** Images with more bytes are not read: nothing that is decoded has as many. */
export const LARGEST_IMAGE_BYTES = 512 * 1024 * 1024;
/** Labels with more bytes are no words. */
export const LARGEST_LABEL_BYTES = 64 * 1024;

/** How a set takes its records: what is filtered, and who is told. */
export interface OpenOptions {
  readonly filter: LabelFilter;
  /** Ends the opening early. */
  readonly signal?: AbortSignal | undefined;
  /** Told of every record left out; of several that are missing in a row, once. */
  readonly onDropped?: ((source: string, reason: string, label: string | null) => void) | undefined;
}

/** Counts what is left out, with an example of each reason. */
export class DropCounter {
  private readonly reasons = new Map<string, { count: number; example: DroppedSamples['example'] }>();

  constructor(private readonly onDropped: OpenOptions['onDropped']) {}

  /** @param count of records that the source stands for */
  add(source: string, reason: string, label: string | null = null, count = 1): void {
    this.onDropped?.(source, reason, label);
    const found = this.reasons.get(reason);
    if (found) found.count += count;
    else this.reasons.set(reason, { count, example: { source, label } });
  }

  get dropped(): DroppedSamples[] {
    return [...this.reasons]
      .map(([reason, { count, example }]) => ({ reason, count, example }))
      .sort((a, b) => b.count - a.count);
  }
}
