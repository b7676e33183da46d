/** Decoding one branch: the autoregressive loop, the reading at once, and refinement. All ids stay on the GPU. */
import { type Device, type Tensor, type TensorData, argmax, copyInto, endPadding } from '../engine/index.js';
import type { CharsetTokenizer } from './charset_tokenizer.js';
import { clozeMaskValues } from './cloze_mask.js';
import type { Decoder, PreparedMemory } from './decoder.js';

/** What a branch has read so far. */
export interface BranchReading {
  /** `[batch, positions, classes]`. */
  readonly logits: Tensor;
  /** `[batch, 1 + positions]` u32: the begin token, then the most probable id at each position. */
  readonly ids: Tensor;
}

/** Steps between two looks at whether all texts have ended. */
const stepsPerLook = 3;

export interface StepwiseOptions {
  readonly endsEarly?: boolean | undefined;
  /** `[batch, steps, memory tokens]`: where each step looked, filled if given. */
  readonly attentionInto?: Tensor | undefined;
}

export class Branch {
  constructor(
    private readonly device: Device,
    private readonly decoder: Decoder,
    private readonly tokenizer: CharsetTokenizer,
  ) {}

  prepareMemory(memory: Tensor): PreparedMemory {
    return this.decoder.prepareMemory(memory);
  }

  /**
   * The greedy loop: each position reads with those before it as context.
   * @param endsEarly whether it stops a few steps after every text has ended; else all `steps` are taken without waiting for
   *   the GPU, and whoever wants to stop where the texts end cuts the result
   * @returns a reading of as many positions as steps were taken
   */
  async readStepwise(
    memory: PreparedMemory,
    batch: number,
    steps: number,
    { endsEarly = false, attentionInto }: StepwiseOptions = {},
  ): Promise<BranchReading> {
    const { device } = this;
    return device.scope(async () => {
      const { reading, take } = this.startSteps(memory, batch, steps, attentionInto);
      if (endsEarly) return this.takeUntilEnded(reading, take);
      for (let step = 0; step < steps; step++) take(step);
      return reading;
    });
  }

  /** Whether all texts have ended is looked at while the next steps run, so that the GPU never waits. */
  private async takeUntilEnded(reading: BranchReading, take: (step: number) => void): Promise<BranchReading> {
    const [batch, steps] = reading.logits.shape as [number, number];
    let seen: { ids: Promise<TensorData | undefined>; steps: number } | undefined;
    for (let step = 0; step < steps;) {
      const end = Math.min(steps, step + stepsPerLook);
      while (step < end) take(step++);
      if (step === steps) break;
      const ids = this.device.peek(reading.ids);
      const before = (await seen?.ids) as Uint32Array | undefined;
      if (before && this.haveEnded(before, batch, seen!.steps)) return cutReading(reading, step);
      seen = { ids, steps: step };
    }
    return reading;
  }

  /** The state of a greedy loop: its reading, and how to take its next step. */
  private startSteps(
    memory: PreparedMemory,
    batch: number,
    steps: number,
    attentionInto: Tensor | undefined,
  ): { reading: BranchReading; take: (step: number) => void } {
    const { device } = this;
    const ids = this.beginIds(batch, steps);
    const logits = device.empty('f32', [batch, steps, this.tokenizer.classes]);
    const state = this.decoder.startSteps(batch, steps);
    const take = (step: number): void =>
      device.scope(() => {
        const looked = attentionInto?.slice(1, step, step + 1);
        const read = logits.slice(1, step, step + 1);
        this.decoder.step(ids.slice(1, step, step + 1), step, state, memory, read, looked);
        argmax(read, ids.slice(1, step + 1, step + 2));
      });
    return { reading: { logits, ids }, take };
  }

  /** Whether each row has an end token within its first steps. */
  private haveEnded(ids: Uint32Array, batch: number, steps: number): boolean {
    const length = ids.length / batch;
    return Array.from({ length: batch }, (_, row) => row * length + 1).every((start) =>
      ids.subarray(start, start + steps).includes(this.tokenizer.endId),
    );
  }

  /** Every position at once, with the begin token as only context (`decode_ar` off). */
  readAtOnce(
    memory: PreparedMemory,
    batch: number,
    positions: number,
    attentionInto?: Tensor,
  ): BranchReading {
    return this.device.scope(() => {
      const begin = this.beginIds(batch, 0);
      return this.withIds(this.decoder.readAll(begin, positions, memory, {}, attentionInto), batch);
    });
  }

  /**
   * One refinement: every position reads again with all others of the previous reading as context (the cloze mask),
   * up to that reading's first end token.
   * @param previous reading whose `logits` may have fewer positions
   * @param clozeMask `[positions, positions]` from {@link clozeMask}
   */
  refine(
    previous: BranchReading,
    positions: number,
    memory: PreparedMemory,
    clozeMask: Tensor,
    attentionInto?: Tensor,
  ): BranchReading {
    return this.device.scope(() => {
      const [batch, context] = previous.logits.shape as [number, number];
      const ids = previous.ids.slice(1, 0, context);
      const mask = clozeMask.slice(0, 0, positions).slice(1, 0, context);
      const masks = {
        mask,
        contentMask: mask.slice(0, 0, context),
        padding: endPadding(ids, this.tokenizer.endId),
      };
      const logits = this.decoder.readAll(ids, positions, memory, masks, attentionInto);
      return this.withIds(logits, batch);
    });
  }

  private withIds(logits: Tensor, batch: number): BranchReading {
    const ids = this.beginIds(batch, logits.shape[1]!);
    argmax(logits, ids.slice(1, 1));
    return { logits, ids };
  }

  /** Ids `[batch, 1 + positions]` with the begin token in front; the rest is for the caller to fill. */
  private beginIds(batch: number, positions: number): Tensor {
    const { device, tokenizer } = this;
    const ids = device.empty('u32', [batch, 1 + positions]);
    copyInto(device.tensor(Uint32Array.of(tokenizer.beginId), [1, 1]), ids.slice(1, 0, 1));
    return ids;
  }
}

/** {@link clozeMaskValues} on the device: `[positions, positions]`. */
export function clozeMask(device: Device, positions: number): Tensor {
  return device.tensor(clozeMaskValues(positions), [positions, positions]);
}

/**
 * How many steps the original's loop takes for a batch: it stops after the step at which every text has an end token,
 * a test it makes after all but the last step.
 * @param ids `[batch, 1 + steps]` as read by {@link Branch.readStepwise}, on the host
 */
export function originalStepCount(ids: Uint32Array, steps: number, endId: number): number {
  const rows = ids.length / (1 + steps);
  let latest = 0;
  for (let row = 0; row < rows; row++) {
    const end = ids.subarray(row * (1 + steps) + 1, (row + 1) * (1 + steps)).indexOf(endId);
    if (end < 0) return steps;
    latest = Math.max(latest, end + 1);
  }
  return latest;
}

/** The first `positions` positions of a reading. */
export function cutReading(reading: BranchReading, positions: number): BranchReading {
  return { logits: reading.logits.slice(1, 0, positions), ids: reading.ids.slice(1, 0, 1 + positions) };
}
