import { adamWAccess, launchAdamW } from '../../kernels/index.js';
import { dispatchSets } from '../operations/sets.js';
import type { GradientControl } from './gradient_control.js';
import { type MovingParameter, type OptimizedGroup, Optimizer } from './optimizer.js';

export interface AdamWOptions {
  /** Decay of the running means of gradients and of their squares. Default 0.9 and 0.999. */
  readonly betas?: readonly [number, number];
  /** Default 1e-8. */
  readonly epsilon?: number;
}

/**
 * AdamW (Loshchilov and Hutter, 2019), number for number as PyTorch's, without amsgrad: a parameter's moments are
 * corrected by the steps that it took itself.
 */
export class AdamW extends Optimizer {
  protected readonly kinds = ['first_moment', 'second_moment'];
  private readonly betas: readonly [number, number];
  private readonly epsilon: number;

  constructor(
    groups: readonly OptimizedGroup[],
    { betas = [0.9, 0.999], epsilon = 1e-8 }: AdamWOptions = {},
  ) {
    super(groups);
    this.betas = betas;
    this.epsilon = epsilon;
  }

  protected update(
    parameters: readonly MovingParameter[],
    { learningRate, weightDecay }: OptimizedGroup,
    { factor, skip }: GradientControl,
  ): void {
    const { betas, epsilon, device } = this;
    const bySteps = new Map<number, MovingParameter[]>();
    for (const moving of parameters) {
      const step = this.steps.get(moving.name)!;
      const others = bySteps.get(step);
      if (others) others.push(moving);
      else bySteps.set(step, [moving]);
    }
    for (const [step, together] of bySteps) {
      const sets = together.map(({ name, parameter, gradient }) => ({
        parameter,
        gradient,
        firstMoment: this.stateOf(name, 'first_moment', parameter),
        secondMoment: this.stateOf(name, 'second_moment', parameter),
      }));
      const settings = { learningRate, weightDecay, betas, epsilon, step };
      dispatchSets('adamw', adamWAccess, sets, [factor, skip], (operands, [f, s]) =>
        launchAdamW(operands, { factor: f!, skip: s! }, settings, device.traits),
      );
    }
  }
}
