/** What a peer offers: another runtime that does the same work from the same operands. */
import type { PreparedRunner, Runner } from '../kernels/runner.js';
import type { OnnxModel } from './onnx_model.js';

/** Work that is compiled and has run once. Its inputs lie where the peer computes; `run` downloads no result. */
export type PreparedWork = PreparedRunner;

/**
 * Whatever a peer has no operation for is composed of those it has, as its user would. `prepare` throws
 * `PeerUnable` where it cannot do the work.
 */
export interface Peer extends Runner {
  /** Prepares a whole model, where the peer takes such: its results as they are. */
  readonly prepareModel?: (model: OnnxModel) => Promise<PreparedWork>;
  /** Frees what the peer holds. Its module stays loaded. */
  close(): Promise<void>;
}
