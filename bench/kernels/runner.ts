/** Who does the same work beside this engine. */
import type { OperandValues } from './values.js';
import type { NumberType, Work } from './work.js';

/** Somebody else who does the same work on the same device. */
export interface Runner {
  readonly name: string;
  readonly version: string;
  readonly computesOn: 'webgpu' | 'cuda' | 'cpu';
  /**
   * @param values inputs by the names and shapes of `operandsOf(work, dtype)`
   * @throws Error whose message tells why it cannot
   */
  prepare(work: Work, dtype: NumberType, values: OperandValues): Promise<PreparedRunner>;
}

export interface PreparedRunner {
  /** Where what is timed is not quite the work: what else is in it. */
  readonly note?: string;
  /** Does the work so many times and waits for it. */
  run(times: number): Promise<void>;
  /** The same where another process does the work: milliseconds by its clock, without the way there and back. */
  timedRun?(times: number): Promise<number>;
  /** The outputs by their names in `operandsOf(work, dtype)`, f16 as f32. */
  results(): Promise<OperandValues>;
  dispose(): Promise<void>;
}
