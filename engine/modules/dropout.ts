import { drawOnce } from '../draws.js';
import { contiguous } from '../operations/elementwise.js';
import { dropout } from '../operations/dropout.js';
import type { Tensor } from '../tensor.js';
import { Module, type ModuleContext } from './module.js';

/**
 * While `training`, drops elements at random and scales the others by `1 / (1 - probability)`; else gives them as they
 * are. Each call drops others; a checkpoint that runs again drops the same.
 */
export class Dropout extends Module {
  readonly #seed: readonly [number, number];
  #calls = 0;

  /** @throws RangeError for a probability outside of 0 to 1 */
  constructor(
    { random }: Pick<ModuleContext, 'random'>,
    readonly probability: number,
  ) {
    super();
    if (!(probability >= 0 && probability <= 1)) {
      throw new RangeError(`Dropout: the probability is ${probability}; expected a number from 0 to 1`);
    }
    this.#seed = [random.integer(2 ** 32), random.integer(2 ** 32)];
  }

  /** Masks drawn so far: to be saved with a run, and set where it goes on. */
  get calls(): number {
    return this.#calls;
  }

  set calls(calls: number) {
    this.#calls = calls;
  }

  /** Any shape to the same shape. */
  forward(x: Tensor): Tensor {
    if (!this.training || this.probability === 0) return contiguous(x);
    const offset = drawOnce(() => this.#calls++);
    return dropout(x, this.probability, { seed: this.#seed, offset });
  }
}
