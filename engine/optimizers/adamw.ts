import { launchAdamW } from '../../kernels/index.js';
import { dispatch } from '../operations/operation.js';
import type { Tensor } from '../tensor.js';
import type { GradientControl } from './gradient_control.js';
import { type OptimizedGroup, Optimizer, inFlatParts } from './optimizer.js';

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
    name: string,
    parameter: Tensor,
    gradient: Tensor,
    { learningRate, weightDecay }: OptimizedGroup,
    { factor, skip }: GradientControl,
  ): void {
    const { betas, epsilon } = this;
    const step = this.steps.get(name)!;
    const settings = { learningRate, weightDecay, betas, epsilon, step };
    const first = this.stateOf(name, 'first_moment', parameter);
    const second = this.stateOf(name, 'second_moment', parameter);
    inFlatParts({ parameter, gradient, first, second }, (parts) => {
      const operands = [parts.parameter, parts.gradient, parts.first, parts.second, factor, skip];
      const { device } = parameter;
      dispatch('adamw', device, operands, ([p, g, m, v, f, s]) =>
        launchAdamW(
          { parameter: p!, gradient: g!, firstMoment: m!, secondMoment: v!, factor: f!, skip: s! },
          settings,
          device.traits,
        ),
      );
    });
  }
}
