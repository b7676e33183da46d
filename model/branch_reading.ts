import { type Device, type Tensor, fill } from '../engine/index.js';
import type { CharsetTokenizer } from './charset_tokenizer.js';

/** What a branch has read so far. */
export interface BranchReading {
  /** `[batch, positions, classes]`. */
  readonly logits: Tensor;
  /** `[batch, 1 + positions]` u32: the begin token, then the most probable id at each position. */
  readonly ids: Tensor;
}

/** Ids `[batch, 1 + positions]` u32 with the begin token in front; the rest is for the caller to fill. */
export function beginIds(
  device: Device,
  tokenizer: CharsetTokenizer,
  batch: number,
  positions: number,
): Tensor {
  const ids = device.empty('u32', [batch, 1 + positions]);
  fill(ids.slice(1, 0, 1), tokenizer.beginId);
  return ids;
}

/** The first `positions` positions of a reading. */
export function cutReading(reading: BranchReading, positions: number): BranchReading {
  return { logits: reading.logits.slice(1, 0, positions), ids: reading.ids.slice(1, 0, 1 + positions) };
}
