/** State of a {@link LossScale}, for checkpoints. */
export interface LossScaleState {
  readonly scale: number;
  /** Steps in a row since the scale last changed. */
  readonly goodSteps: number;
}

const growthFactor = 2;
const backoffFactor = 0.5;
const growthInterval = 2000;
/** Beyond these a gradient says nothing more. */
const [least, most] = [2 ** -24, 2 ** 24];

/**
 * What the loss is multiplied by so that its gradients fit f16: halved when a gradient overflowed, doubled after 2000
 * steps that did not; PyTorch's `GradScaler` with its defaults.
 */
export class LossScale {
  private scale: number;
  private goodSteps: number;

  constructor({ scale, goodSteps }: LossScaleState = { scale: 2 ** 16, goodSteps: 0 }) {
    this.scale = scale;
    this.goodSteps = goodSteps;
  }

  get value(): number {
    return this.scale;
  }

  get state(): LossScaleState {
    return { scale: this.scale, goodSteps: this.goodSteps };
  }

  /** Whether it cannot come down any more. */
  get atLeast(): boolean {
    return this.scale <= least;
  }

  /** Whether the step was left out because a gradient was not finite. */
  update(skipped: boolean): void {
    if (skipped) {
      this.scale = Math.max(least, this.scale * backoffFactor);
      this.goodSteps = 0;
      return;
    }
    this.goodSteps++;
    if (this.goodSteps < growthInterval) return;
    this.scale = Math.min(most, this.scale * growthFactor);
    this.goodSteps = 0;
  }
}
