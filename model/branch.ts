/** Decoding one branch: step by step, from a draft, all at once, and refinement. */
import { type Device, type Tensor, type TensorData, copyInto, fill } from '../engine/index.js';
import { type BranchReading, beginIds, cutReading } from './branch_reading.js';
import type { CharsetTokenizer } from './charset_tokenizer.js';
import { ContextPass, type PassOptions, readingOf } from './context_pass.js';
import type { Decoder, PreparedMemory } from './decoder.js';
import { type DraftedBranch, readDrafted } from './drafted_reading.js';
import { GreedyLoop, KeptLoop, type LoopOptions } from './greedy_loop.js';
import { freshCopy, keptLimitBytes } from './kept_work.js';
import { clozeMaskValues } from './position_masks.js';

/**
 * Steps between two looks at whether all texts have ended. A CPU that stands for a GPU takes longer for a step than to answer;
 * a GPU takes several steps in the time of an answer.
 */
const stepsPerLook = { software: 1, gpu: 3 };

export interface StepwiseOptions {
  readonly endsEarly?: boolean | undefined;
  /** Whether the loop is kept for the next reading of as many images. */
  readonly keepsLoop?: boolean | undefined;
  /** `[batch, steps, memory tokens]`: where each step looked, filled if given. */
  readonly attentionInto?: Tensor | undefined;
}

export class Branch {
  private kept: KeptLoop | undefined;
  private readonly pass: ContextPass;

  constructor(
    private readonly device: Device,
    private readonly decoder: Decoder,
    private readonly tokenizer: CharsetTokenizer,
  ) {
    this.pass = new ContextPass(device, decoder, tokenizer);
  }

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
    { endsEarly = false, keepsLoop = false, attentionInto }: StepwiseOptions = {},
  ): Promise<BranchReading> {
    const { device, decoder, tokenizer } = this;
    const options = { device, decoder, tokenizer, batch, steps };
    const read = async (reading: BranchReading, take: (step: number) => void): Promise<BranchReading> => {
      if (endsEarly) return cutReading(reading, await this.takeUntilEnded(reading.ids, steps, take));
      for (let step = 0; step < steps; step++) take(step);
      return cutReading(reading, steps);
    };
    return device.scope(async () => {
      const kept = keepsLoop && !attentionInto ? this.keptLoop(options, memory) : undefined;
      if (!kept) {
        const loop = new GreedyLoop(options, memory);
        loop.begin();
        return read(loop.reading, (step) => loop.step(step, attentionInto));
      }
      kept.busy = true;
      try {
        kept.begin(memory);
        const { logits, ids } = await read(kept.reading, (step) => kept.step(step));
        return { logits: freshCopy(logits), ids: freshCopy(ids) };
      } catch (error) {
        // Half a recording would hold memory that the next try needs.
        if (this.kept === kept) this.disposeLoop();
        throw error;
      } finally {
        kept.busy = false;
      }
    });
  }

  /**
   * Goes through what a reading of one image dispatches, for {@link Device.compile}.
   * @param work whether it reads step by step, and whether it passes over all positions
   */
  rehearse(memory: PreparedMemory, positions: number, work: { steps: boolean; passes: boolean }): void {
    const { device, decoder, tokenizer } = this;
    device.scope(() => {
      if (work.steps) {
        const loop = new GreedyLoop({ device, decoder, tokenizer, batch: 1, steps: positions }, memory);
        loop.begin();
        for (const step of new Set([0, 1, positions >> 1, positions - 1])) loop.step(step);
        // Copies out of kept loops, of which some lengths can be copied in fours.
        for (const length of [2, 3, positions]) {
          Object.values(cutReading(loop.reading, length)).forEach(freshCopy);
        }
      }
      if (work.passes) {
        const ids = beginIds(device, tokenizer, 1, positions);
        this.refine(
          cutReading({ logits: device.empty('f32', [1, positions, tokenizer.classes]), ids }, positions - 1),
          positions,
          memory,
        );
      }
      for (const { key, value } of memory) [key, value].forEach(freshCopy);
    });
  }

  /** Frees what is kept between readings. */
  dispose(): void {
    this.disposeLoop();
    this.pass.dispose();
  }

  private disposeLoop(): void {
    this.kept?.dispose();
    this.kept = undefined;
  }

  /** @returns undefined where the kept loop is in use, or would be too large */
  private keptLoop(options: LoopOptions, memory: PreparedMemory): KeptLoop | undefined {
    if (this.kept?.busy) return undefined;
    if (this.kept?.fits(options, memory)) return this.kept;
    this.disposeLoop();
    const memoryBytes = memory.reduce((bytes, { key, value }) => bytes + key.bytes + value.bytes, 0);
    if (memoryBytes > keptLimitBytes(this.device)) return undefined;
    this.kept = new KeptLoop(options, memory);
    return this.kept;
  }

  /**
   * Whether all texts have ended is looked at while the next steps run, so that the GPU never waits.
   * @returns how many steps were taken
   */
  private async takeUntilEnded(ids: Tensor, steps: number, take: (step: number) => void): Promise<number> {
    const batch = ids.shape[0]!;
    const between = this.device.traits.software ? stepsPerLook.software : stepsPerLook.gpu;
    let seen: { ids: Promise<TensorData | undefined>; steps: number } | undefined;
    for (let step = 0; step < steps;) {
      const end = Math.min(steps, step + between);
      while (step < end) take(step++);
      if (step === steps) break;
      const looked = this.device.peek(ids);
      const before = (await seen?.ids) as Uint32Array | undefined;
      if (before && this.haveEnded(before, batch, seen!.steps)) return step;
      seen = { ids: looked, steps: step };
    }
    return steps;
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
      const begin = beginIds(this.device, this.tokenizer, batch, 0);
      return readingOf(
        this.device,
        this.decoder.readAll(begin, positions, memory, {}, attentionInto),
        this.tokenizer,
      );
    });
  }

  /** What {@link readStepwise} reads up to the ends of texts, from a draft: see {@link readDrafted}. */
  readDrafted(
    draft: Uint32Array,
    batch: number,
    positions: number,
    memory: PreparedMemory,
    options: PassOptions = {},
  ): Promise<BranchReading> {
    const { device, pass, tokenizer } = this;
    const readStepwise: DraftedBranch['readStepwise'] = (seen, rows, { keepsWork, attentionInto }) =>
      this.readStepwise(seen, rows, positions, { endsEarly: true, keepsLoop: keepsWork, attentionInto });
    const branch = { device, pass, endId: tokenizer.endId, readStepwise };
    return readDrafted(branch, { draft, batch, positions }, memory, options);
  }

  /**
   * One refinement: every position reads again with all others of the previous reading as context (the cloze mask),
   * up to that reading's first end token.
   * @param previous reading that may have fewer positions
   */
  refine(
    previous: BranchReading,
    positions: number,
    memory: PreparedMemory,
    options: PassOptions = {},
  ): BranchReading {
    const { device } = this;
    return device.scope(() => {
      const mask = device.tensor(clozeMaskValues(positions), [positions, positions]);
      return this.pass.read(this.contextOf(previous, positions), mask, memory, options);
    });
  }

  /**
   * What a reading gives as context: the begin token and its ids but the last, filled up with end tokens, which nothing
   * sees: `[batch, positions]`.
   */
  private contextOf({ logits, ids }: BranchReading, positions: number): Tensor {
    const [batch, known] = logits.shape as [number, number];
    if (known === positions) return ids.slice(1, 0, positions);
    const context = this.device.empty('u32', [batch, positions]);
    copyInto(ids.slice(1, 0, known), context.slice(1, 0, known));
    fill(context.slice(1, known), this.tokenizer.endId);
    return context;
  }
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
