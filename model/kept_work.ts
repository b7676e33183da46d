import { type Device, type Recording, type Tensor, copyInto } from '../engine/index.js';

/** Part of the device's memory that a kept piece of work may take: with larger batches, the host waits for the GPU anyway. */
export const keptShare = 1 / 64;

type Work = (inputs: readonly Tensor[]) => readonly Tensor[];

/**
 * Work that a model does again for every batch of as many images: recorded the first time over memory of its own, and
 * repeated afterwards without the host's part. For weights that stay where they are.
 */
export class KeptWork {
  private kept: RecordedWork | undefined;
  private tooLarge: string | undefined;

  constructor(private readonly device: Device) {}

  /**
   * @param work always the same, whatever the inputs' shapes; it may read no values of the host
   * @returns what the work returns, for the caller to dispose
   */
  run(inputs: readonly Tensor[], work: Work): readonly Tensor[] {
    const { device } = this;
    const key = inputs.map(({ dtype, shape }) => `${dtype}${shape.join()}`).join(' ');
    if (key === this.tooLarge) return work(inputs);
    if (this.kept?.key !== key || !this.kept.usable) {
      this.dispose();
      this.kept = new RecordedWork(device, key, inputs);
    }
    const outputs = this.kept.run(inputs, work);
    if (this.kept.bytes > keptShare * device.memoryBudgetBytes) {
      this.tooLarge = key;
      this.dispose();
    }
    return outputs;
  }

  dispose(): void {
    this.kept?.dispose();
    this.kept = undefined;
  }
}

class RecordedWork {
  private readonly recording: Recording;
  private readonly inputs: readonly Tensor[];
  private outputs: readonly Tensor[] = [];

  constructor(
    private readonly device: Device,
    readonly key: string,
    inputs: readonly Tensor[],
  ) {
    this.recording = device.newRecording();
    this.inputs = inputs.map(({ dtype, shape }) => device.keep(device.empty(dtype, shape)));
  }

  get usable(): boolean {
    return this.recording.usable;
  }

  get bytes(): number {
    return this.recording.bytes;
  }

  run(inputs: readonly Tensor[], work: Work): Tensor[] {
    inputs.forEach((input, i) => copyInto(input, this.inputs[i]!));
    this.recording.run(0, () => {
      this.outputs = work(this.inputs).map((output) => this.device.keep(output));
    });
    const copies = new Map([...new Set(this.outputs)].map((output) => [output, freshCopy(output)]));
    return this.outputs.map((output) => copies.get(output)!);
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
