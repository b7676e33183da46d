import type { RgbImage } from '../../model/rgb_image.js';

/** One word image with its text. */
export interface Sample {
  /** Content of an image file, or pixels that need no decoding. */
  readonly image: Uint8Array | RgbImage;
  /** As it is trained on: already filtered. */
  readonly label: string;
  /** What messages call the sample: a file, or a record of a data set. */
  readonly source: string;
}

export interface DataSet {
  readonly length: number;
  /** @param index 0 to `length - 1`. What it throws counts as a damaged sample. */
  sample(index: number): Sample | Promise<Sample>;
  /** What messages call a sample that cannot be read; "sample <index>" unless there is this. */
  source?(index: number): string;
  close?(): void | Promise<void>;
}

/**
 * Says how a data set is opened, in a form that can be sent to another thread: each thread opens it for itself.
 * The module exports `openDataSet(argument)`, which returns a {@link DataSet} or a promise of it.
 */
export interface DataSource {
  /** URL of the module, from its own `import.meta.url`. */
  readonly module: string;
  /** Plain data: what structured cloning copies. */
  readonly argument: unknown;
}

/** @throws Error if there is no such module, or whatever its `openDataSet` throws. */
export async function openDataSource({ module, argument }: DataSource): Promise<DataSet> {
  const { openDataSet } = (await import(module)) as Record<string, unknown>;
  if (typeof openDataSet !== 'function') {
    throw new Error(`${module} exports no function openDataSet; a data source's module must.`);
  }
  return (openDataSet as (argument: unknown) => DataSet | Promise<DataSet>)(argument);
}
