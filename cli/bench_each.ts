import { liftDeadlines } from './interruption.js';
import { showProgress } from './progress.js';

/** What was measured, and what ended it before all was. */
export interface Measured<T> {
  readonly done: readonly T[];
  readonly failure?: Error;
}

export interface EachOptions<T> {
  /** What is counted, for the progress bar. */
  readonly counted: string;
  readonly signal: AbortSignal;
  readonly quiet: true | undefined;
  /** Shows a result, the progress bar out of the way. */
  readonly show?: (result: T) => Promise<void>;
}

/** Tells how much is done of an item that takes long. */
export type TellPart = (done: number, of: number) => void;

/**
 * Measures one thing after another. What is done before an interruption, or before memory or the device is lost, counts.
 * @throws what happened before anything was done
 */
export async function measureEach<Item, T>(
  items: readonly Item[],
  { counted, signal, quiet, show }: EachOptions<T>,
  measure: (item: Item, tellPart: TellPart) => Promise<T>,
): Promise<Measured<T>> {
  const done: T[] = [];
  const progress = showProgress(counted, 'rows', !quiet);
  try {
    for (const [index, item] of items.entries()) {
      const tellPart: TellPart = (part, of) => {
        signal.throwIfAborted();
        progress.update(index * of + part, items.length * of);
        liftDeadlines();
      };
      tellPart(0, 1);
      const result = await measure(item, tellPart);
      done.push(result);
      liftDeadlines();
      if (!show) continue;
      progress.stop();
      await show(result);
    }
    return { done };
  } catch (error) {
    if (!(error instanceof Error) || done.length === 0) throw error;
    return { done, failure: error };
  } finally {
    progress.stop();
  }
}
