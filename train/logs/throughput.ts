import type { StepEvent } from '../events.js';

const memoryMs = 30_000;
/** How much of the past a step leaves at least, so that slow steps are smoothed too. */
const leastKept = 0.8;

/** The speed of the last half minute or so, or of the last few steps where they take longer. */
export class Throughput {
  #steps = 0;
  #images = 0;
  #flops = 0;
  #ms = 0;
  #waitMs = 0;

  add({ stepMs, waitMs, imagesOfStep, flops }: StepEvent): void {
    const kept = Math.max(leastKept, Math.exp(-stepMs / memoryMs));
    this.#steps = this.#steps * kept + 1;
    this.#images = this.#images * kept + imagesOfStep;
    this.#flops = this.#flops * kept + flops;
    this.#ms = this.#ms * kept + stepMs;
    this.#waitMs = this.#waitMs * kept + waitMs;
  }

  get imagesPerSecond(): number {
    return this.#perMs(this.#images) * 1000;
  }

  get flopsPerSecond(): number {
    return this.#perMs(this.#flops) * 1000;
  }

  /** Part of the time that was spent waiting for data, from 0 to 1. */
  get waiting(): number {
    return this.#perMs(this.#waitMs);
  }

  /** Mean time of a step. */
  get stepMs(): number {
    return this.#steps === 0 ? 0 : this.#ms / this.#steps;
  }

  #perMs(sum: number): number {
    return this.#ms > 0 ? sum / this.#ms : 0;
  }
}
