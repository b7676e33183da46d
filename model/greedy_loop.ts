/** The greedy loop's state and steps, for one reading or kept for many. All ids stay on the GPU. */
import { type Device, type Recording, type Tensor, argmax, copyInto } from '../engine/index.js';
import { type BranchReading, beginIds } from './branch_reading.js';
import type { CharsetTokenizer } from './charset_tokenizer.js';
import type { Decoder, DecodingState, PreparedMemory } from './decoder.js';

/** What reads, and how many steps it takes for how many images. */
export interface LoopOptions {
  readonly device: Device;
  readonly decoder: Decoder;
  readonly tokenizer: CharsetTokenizer;
  readonly batch: number;
  readonly steps: number;
}

/** A greedy loop: {@link begin} once, then its steps in order. */
export class GreedyLoop {
  /** Filled by the steps. */
  readonly reading: BranchReading;
  private readonly state: DecodingState;

  constructor(
    private readonly options: LoopOptions,
    private readonly memory: PreparedMemory,
  ) {
    const { device, decoder, tokenizer, batch, steps } = options;
    this.reading = {
      logits: device.empty('f32', [batch, steps, tokenizer.classes]),
      ids: beginIds(device, tokenizer, batch, steps),
    };
    this.state = decoder.makeState(batch, steps);
  }

  get tensors(): readonly Tensor[] {
    const { logits, ids } = this.reading;
    return [logits, ids, this.state.queries, ...this.state.caches];
  }

  begin(): void {
    this.options.decoder.begin(this.state);
  }

  /** @param attentionInto `[batch, steps, memory tokens]`: where each step looked, filled if given */
  step(step: number, attentionInto?: Tensor): void {
    const { device, decoder } = this.options;
    const { logits, ids } = this.reading;
    device.scope(() => {
      const looked = attentionInto?.slice(1, step, step + 1);
      const read = logits.slice(1, step, step + 1);
      decoder.step(ids.slice(1, step, step + 1), step, this.state, this.memory, read, looked);
      argmax(read, ids.slice(1, step + 1, step + 2));
    });
  }
}

/** A greedy loop that many readings go through, one after another: their steps are recorded once and repeated. */
export class KeptLoop {
  /** Whether a reading is under way. */
  busy = false;
  private readonly memory: PreparedMemory;
  private readonly loop: GreedyLoop;
  private readonly recording: Recording;

  /** @param memory of the shapes that every reading's has */
  constructor(
    private readonly options: LoopOptions,
    memory: PreparedMemory,
  ) {
    const { device } = options;
    this.memory = memory.map(({ key, value }) => ({
      key: device.empty('f32', key.shape),
      value: device.empty('f32', value.shape),
    }));
    this.loop = new GreedyLoop(options, this.memory);
    this.tensors.forEach((tensor) => device.keep(tensor));
    this.recording = device.newRecording();
  }

  get reading(): BranchReading {
    return this.loop.reading;
  }

  /** Whether it reads so many images, takes as many steps, and has room for a memory of these shapes. */
  fits({ batch, steps }: LoopOptions, memory: PreparedMemory): boolean {
    const own = this.options;
    return (
      this.recording.usable &&
      own.batch === batch &&
      own.steps >= steps &&
      memory.every(({ key }, layer) => key.shape[2] === this.memory[layer]!.key.shape[2])
    );
  }

  begin(memory: PreparedMemory): void {
    memory.forEach(({ key, value }, layer) => {
      copyInto(key, this.memory[layer]!.key);
      copyInto(value, this.memory[layer]!.value);
    });
    this.recording.run('begin', () => this.loop.begin());
  }

  step(step: number): void {
    this.recording.run(step, () => this.loop.step(step));
  }

  dispose(): void {
    this.recording.dispose();
    this.tensors.forEach((tensor) => tensor.dispose());
  }

  private get tensors(): Tensor[] {
    return [...this.loop.tensors, ...this.memory.flatMap(({ key, value }) => [key, value])];
  }
}
