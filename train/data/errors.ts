import { CheckpointError, oneLine } from '../../weights/errors.js';

/** What is wrong with a data set or one of its records: one line that starts with where it is. */
export class DataSetError extends Error {
  override readonly name = 'DataSetError';

  constructor(
    where: string,
    readonly problem: string,
    options?: ErrorOptions,
  ) {
    super(oneLine(`${where}: ${problem}`), options);
  }
}

/** A data set has no sample that can be used, or so many damaged ones in a row that it cannot be an accident. */
export class UnusableDataError extends Error {
  override readonly name = 'UnusableDataError';
}

/** An error of any kind as one that names the place; those of file access name the file without its folder. */
export function dataSetError(where: string, error: unknown): DataSetError {
  return error instanceof DataSetError ? error : new DataSetError(where, problemOf(error), { cause: error });
}

/** The message of an error, without the place where it begins with that. */
export function problemOf(error: unknown): string {
  if (error instanceof DataSetError) return error.problem;
  if (error instanceof CheckpointError) return error.message.slice(error.fileName.length + 2);
  return error instanceof Error ? error.message : String(error);
}
