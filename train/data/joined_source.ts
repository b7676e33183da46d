import { type DataSet, type DataSource, type Sample, openDataSource } from './data_source.js';

/** Several data sources as one: the samples of one after those of another. */
export function joinedSource(sources: readonly DataSource[]): DataSource {
  return sources.length === 1 ? sources[0]! : { module: import.meta.url, argument: sources };
}

/** Opens what {@link joinedSource} describes. */
export async function openDataSet(sources: readonly DataSource[]): Promise<DataSet> {
  const parts: DataSet[] = [];
  const close = async (): Promise<void> => {
    for (const part of parts) await part.close?.();
  };
  try {
    for (const source of sources) parts.push(await openDataSource(source));
  } catch (error) {
    await close();
    throw error;
  }
  const find = (index: number): [part: DataSet, at: number] => {
    let at = index;
    for (const part of parts) {
      if (at < part.length) return [part, at];
      at -= part.length;
    }
    throw new RangeError(`sample ${index} of ${length}: the index must be a whole number below ${length}.`);
  };
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return {
    length,
    sample(index): Sample | Promise<Sample> {
      const [part, at] = find(index);
      return part.sample(at);
    },
    source(index) {
      const [part, at] = find(index);
      return part.source?.(at) ?? `sample ${index}`;
    },
    close,
  };
}
