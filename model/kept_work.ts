import { type Device, type Recording, type Tensor, copyInto } from '../engine/index.js';

/**
 * Bytes that a kept piece of work may take on a device: with batches that need more, the host waits for the GPU anyway.
 */
export function keptLimitBytes({ memoryBudgetBytes }: Device): number {
  return Math.min(memoryBudgetBytes / 64, 256 << 20);
}

type Work = (inputs: readonly Tensor[]) => readonly Tensor[];

/**
 * Work that a model does again for every batch of as many images: recorded the first time over memory of its own, and
 * repeated afterwards without the host's part. For weights that stay where they are.
 */
export class KeptWork {
  private kept: RecordedWork | undefined;
  /** Elements of inputs from which on the work is too large to be kept. */
  private tooMany = Infinity;

  constructor(private readonly device: Device) {}

  /**
   * @param work always the same, whatever the inputs' shapes; it may read no values of the host
   * @returns what the work returns, in the caller's scope
   */
  run(inputs: readonly Tensor[], work: Work): readonly Tensor[] {
    const { device } = this;
    const elements = inputs.reduce((total, { size }) => total + size, 0);
    if (elements >= this.tooMany) return work(inputs);
    const key = inputs.map(({ dtype, shape }) => `${dtype}${shape.join()}`).join(' ');
    try {
      if (this.kept?.key !== key || !this.kept.usable) {
        this.dispose();
        this.kept = new RecordedWork(device, key);
      }
      this.kept.run(inputs, work);
      if (this.kept.bytes <= keptLimitBytes(device)) return this.kept.copies();
      this.tooMany = elements;
      const given = this.kept.giveAway();
      this.dispose();
      return given;
    } catch (error) {
      // What could not be done would hold memory that its next try needs.
      this.dispose();
      throw error;
    }
  }

  dispose(): void {
    this.kept?.dispose();
    this.kept = undefined;
  }
}

class RecordedWork {
  private readonly recording: Recording;
  private readonly inputs: Tensor[] = [];
  private outputs: readonly Tensor[] = [];

  constructor(
    private readonly device: Device,
    readonly key: string,
  ) {
    this.recording = device.newRecording();
  }

  get usable(): boolean {
    return this.recording.usable;
  }

  get bytes(): number {
    return this.inputs.reduce((total, { bytes }) => total + bytes, this.recording.bytes);
  }

  run(inputs: readonly Tensor[], work: Work): void {
    inputs.forEach((input, i) => {
      this.inputs[i] ??= this.device.keep(this.device.empty(input.dtype, input.shape));
      copyInto(input, this.inputs[i]);
    });
    this.recording.run(0, () => {
      this.outputs = work(this.inputs).map((output) => this.device.keep(output));
    });
  }

  /** The results, which the next run leaves alone. */
  copies(): Tensor[] {
    const copies = new Map([...new Set(this.outputs)].map((output) => [output, freshCopy(output)]));
    return this.outputs.map((output) => copies.get(output)!);
  }

  /** The results themselves: it is not to be run again. */
  giveAway(): Tensor[] {
    return this.outputs.map((output) => output.view(output.shape, output.strides, output.offset));
  }

  dispose(): void {
    for (const tensor of [...this.inputs, ...this.outputs]) tensor.dispose();
    this.recording.dispose();
  }
}

/** The same elements in memory of their own. */
export function freshCopy(tensor: Tensor): Tensor {
  const copy = tensor.device.empty(tensor.dtype, tensor.shape);
  copyInto(tensor, copy);
  return copy;
}
