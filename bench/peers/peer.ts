/** What a peer offers: another runtime that does the same work from the same operands. */
import type { OperandValues } from '../kernels/values.js';
import type { FloatType, Work } from '../kernels/work.js';

/** Work that is compiled and has run once. Its inputs lie where the peer computes. */
export interface PreparedWork {
  /** Where what is timed is not quite the work: what else is in it. */
  readonly note?: string;
  /** Starts so many runs one after another and waits until the device has finished all; no result is downloaded. */
  run(times: number): Promise<void>;
  /** The outputs by their names in `operandsOf(work)`, f16 as f32, from a run of their own. */
  results(): Promise<Readonly<Record<string, Float32Array | Uint32Array>>>;
  /** Frees what the work holds on the device. */
  dispose(): Promise<void>;
}

export interface Peer {
  readonly name: string;
  readonly version: string;
  readonly computesOn: 'webgpu' | 'cpu';
  /**
   * Compiles some work for inputs that have the names and shapes of `operandsOf(work, dtype)`, and runs it once. The
   * peer's own operations are composed where it has none for the whole work, as its user would.
   * @throws PeerUnable where it cannot do the work
   */
  prepare(work: Work, dtype: FloatType, values: OperandValues): Promise<PreparedWork>;
  /** Frees what the peer holds. Its module stays loaded. */
  close(): Promise<void>;
}

/** A peer cannot do some work, or cannot be opened at all. The message is the reason, in one line. */
export class PeerUnable extends Error {
  override name = 'PeerUnable';

  constructor(reason: string) {
    super(oneLine(reason));
  }
}

const longestReason = 400;

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > longestReason ? `${line.slice(0, longestReason - 1)}…` : line;
}

/** What went wrong, as a reason. */
export function reasonOf(error: unknown): string {
  return oneLine(error instanceof Error ? error.message : String(error));
}

/** Runs a peer's own code; whatever it throws becomes a {@link PeerUnable}. */
export async function orUnable<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw error instanceof PeerUnable ? error : new PeerUnable(reasonOf(error));
  }
}
