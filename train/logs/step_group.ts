import type { StepEvent } from '../events.js';

/** Mean, least and most of what was finite among some values. */
export interface Spread {
  readonly mean: number;
  readonly least: number;
  readonly most: number;
}

interface Sum extends Omit<Spread, 'mean'> {
  readonly count: number;
  readonly sum: number;
}

/** Steps in a row, as one point of each curve. */
export class StepGroup {
  #firstStep = 0;
  #lastStep = 0;
  #steps = 0;
  #skippedSteps = 0;
  #images = 0;
  #flops = 0;
  #ms = 0;
  #waitMs = 0;
  #peakBytes = 0;
  #sums = new Map<string, Sum>();

  get firstStep(): number {
    return this.#firstStep;
  }

  get lastStep(): number {
    return this.#lastStep;
  }

  get steps(): number {
    return this.#steps;
  }

  get skippedSteps(): number {
    return this.#skippedSteps;
  }

  get trainingMs(): number {
    return this.#ms;
  }

  get waitMs(): number {
    return this.#waitMs;
  }

  get images(): number {
    return this.#images;
  }

  get peakBytes(): number {
    return this.#peakBytes;
  }

  get imagesPerSecond(): number {
    return (1000 * this.#images) / this.#ms;
  }

  get flopsPerSecond(): number {
    return (1000 * this.#flops) / this.#ms;
  }

  /** Part of the time that was spent waiting for data, from 0 to 1. */
  get waiting(): number {
    return this.#waitMs / this.#ms;
  }

  get loss(): Spread | undefined {
    return this.#spread('loss');
  }

  get visualLoss(): Spread | undefined {
    return this.#spread('visualLoss');
  }

  get crossLoss(): Spread | undefined {
    return this.#spread('crossLoss');
  }

  get gradientNorm(): Spread | undefined {
    return this.#spread('gradientNorm');
  }

  /** @param group of parameters, from 0 */
  learningRate(group: number): Spread | undefined {
    return this.#spread(`learningRate${group}`);
  }

  add(event: StepEvent): void {
    if (this.#steps === 0) this.#firstStep = event.step;
    this.#lastStep = event.step;
    this.#steps++;
    if (event.skipped) this.#skippedSteps++;
    this.#images += event.imagesOfStep;
    this.#flops += event.flops;
    this.#ms += event.stepMs;
    this.#waitMs += event.waitMs;
    this.#peakBytes = Math.max(this.#peakBytes, event.peakBytes);
    this.#gather('loss', event.loss);
    this.#gather('visualLoss', event.visualLoss);
    if (event.crossLoss !== undefined) this.#gather('crossLoss', event.crossLoss);
    this.#gather('gradientNorm', event.gradientNorm);
    for (const [group, rate] of event.learningRates.entries()) this.#gather(`learningRate${group}`, rate);
  }

  /** This group and the one after it as one. */
  joined(next: StepGroup): StepGroup {
    const both = new StepGroup();
    both.#firstStep = this.#firstStep;
    both.#lastStep = next.#lastStep;
    both.#steps = this.#steps + next.#steps;
    both.#skippedSteps = this.#skippedSteps + next.#skippedSteps;
    both.#images = this.#images + next.#images;
    both.#flops = this.#flops + next.#flops;
    both.#ms = this.#ms + next.#ms;
    both.#waitMs = this.#waitMs + next.#waitMs;
    both.#peakBytes = Math.max(this.#peakBytes, next.#peakBytes);
    both.#sums = new Map(this.#sums);
    for (const [name, sum] of next.#sums) both.#merge(name, sum);
    return both;
  }

  #gather(name: string, value: number): void {
    if (Number.isFinite(value)) this.#merge(name, { count: 1, sum: value, least: value, most: value });
  }

  #merge(name: string, { count, sum, least, most }: Sum): void {
    const held = this.#sums.get(name);
    this.#sums.set(name, {
      count: count + (held?.count ?? 0),
      sum: sum + (held?.sum ?? 0),
      least: Math.min(least, held?.least ?? Infinity),
      most: Math.max(most, held?.most ?? -Infinity),
    });
  }

  #spread(name: string): Spread | undefined {
    const held = this.#sums.get(name);
    return held && { mean: held.sum / held.count, least: held.least, most: held.most };
  }
}
