/** A pass of a decoder over all positions, from a whole context. */
import { type Device, type Tensor, argmax, endPadding } from '../engine/index.js';
import { type BranchReading, beginIds } from './branch_reading.js';
import type { CharsetTokenizer } from './charset_tokenizer.js';
import type { Decoder, PreparedMemory } from './decoder.js';
import { KeptWork } from './kept_work.js';

export interface PassOptions {
  /** Whether the work is kept for the next pass of as many images. */
  readonly keepsWork?: boolean | undefined;
  /** `[batch, positions, memory tokens]`: where each position looked, filled if given. */
  readonly attentionInto?: Tensor | undefined;
}

export class ContextPass {
  private readonly kept: KeptWork;

  constructor(
    private readonly device: Device,
    private readonly decoder: Decoder,
    private readonly tokenizer: CharsetTokenizer,
  ) {
    this.kept = new KeptWork(device);
  }

  /**
   * Reads every position from what the mask shows it of the context before the first end token.
   * @param context ids `[batch, positions]`, the begin token first
   * @param mask `[positions, positions]`, added to scores
   */
  read(
    context: Tensor,
    mask: Tensor,
    memory: PreparedMemory,
    { keepsWork = false, attentionInto }: PassOptions,
  ): BranchReading {
    if (!keepsWork || attentionInto) return this.compute(context, mask, memory, attentionInto);
    const inputs = [context, mask, ...memory.flatMap(({ key, value }) => [key, value])];
    const [logits, ids] = this.kept.run(inputs, ([ownContext, ownMask, ...keysAndValues]) => {
      const own = memory.map((_, i) => ({ key: keysAndValues[2 * i]!, value: keysAndValues[2 * i + 1]! }));
      const read = this.compute(ownContext!, ownMask!, own);
      return [read.logits, read.ids];
    });
    return { logits: logits!, ids: ids! };
  }

  /** Frees what is kept between passes. */
  dispose(): void {
    this.kept.dispose();
  }

  private compute(
    context: Tensor,
    mask: Tensor,
    memory: PreparedMemory,
    attentionInto?: Tensor,
  ): BranchReading {
    const padding = endPadding(context, this.tokenizer.endId);
    const seen = { mask, contentMask: mask, padding };
    const logits = this.decoder.readAll(context, context.shape[1]!, memory, seen, attentionInto);
    return readingOf(this.device, logits, this.tokenizer);
  }
}

/** The reading that logits `[batch, positions, classes]` make. */
export function readingOf(device: Device, logits: Tensor, tokenizer: CharsetTokenizer): BranchReading {
  const ids = beginIds(device, tokenizer, logits.shape[0]!, logits.shape[1]!);
  argmax(logits, ids.slice(1, 1));
  return { logits, ids };
}
