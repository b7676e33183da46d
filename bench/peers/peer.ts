/** What a peer offers: another runtime that does the same work from the same operands. */
import type { PreparedRunner, Runner } from '../kernels/run.js';
import type { OnnxModel } from './onnx_model.js';

/** Work that is compiled and has run once. Its inputs lie where the peer computes; `run` downloads no result. */
export type PreparedWork = PreparedRunner;

/**
 * Whatever a peer has no operation for is composed of those it has, as its user would. `prepare` throws
 * {@link PeerUnable} where it cannot do the work.
 */
export interface Peer extends Runner {
  /** Prepares a whole model, where the peer takes such: its results as they are. */
  readonly prepareModel?: (model: OnnxModel) => Promise<PreparedWork>;
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
