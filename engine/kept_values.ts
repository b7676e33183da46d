/** Tensors whose values gradients need later. */
import { EngineError } from './errors.js';
import { shapeText } from './shape.js';
import type { Tensor } from './tensor.js';

/** Keeps tensors as they are now: memory that is written to meanwhile is not taken for what it was. */
export class KeptValues {
  private readonly versions: readonly number[];

  /** @param operation what they are kept for, for the message */
  constructor(
    private readonly operation: string,
    readonly tensors: readonly Tensor[],
  ) {
    this.versions = tensors.map(({ buffer }) => buffer.version);
  }

  /** @throws EngineError if anything was written into one of them since */
  check(): void {
    const changed = this.tensors.find(({ buffer }, i) => buffer.version !== this.versions[i]);
    if (!changed) return;
    throw new EngineError(
      `backward: ${changed.dtype}${shapeText(changed.shape)}, which the gradients of ${this.operation} need, was written ` +
        'to after it was used. Write into a copy, or after backward().',
    );
  }

  dispose(): void {
    for (const tensor of this.tensors) tensor.dispose();
  }
}
