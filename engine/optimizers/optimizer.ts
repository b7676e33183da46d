import { EngineError } from '../errors.js';
import { noGrad } from '../graph.js';
import { fill } from '../operations/fill.js';
import { type Tensor, type TensorDevice, allocate } from '../tensor.js';
import type { GradientControl } from './gradient_control.js';

/** Parameters that are trained alike. */
export interface OptimizedGroup {
  /** f32 tensors with `requireGradient()`, by names of the caller's. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** May be changed between steps, as a schedule does. */
  learningRate: number;
  /** Decoupled from the gradient (Loshchilov and Hutter, 2019). */
  readonly weightDecay: number;
}

/** A parameter that takes a step. */
export interface MovingParameter {
  readonly name: string;
  readonly parameter: Tensor;
  readonly gradient: Tensor;
}

/**
 * What optimizers share: groups, the state kept for each parameter, and the count of steps. Parameters without a
 * gradient are left alone.
 */
export abstract class Optimizer {
  /** Steps that each parameter has taken so far: those in which it had a gradient. Part of the state. */
  readonly steps = new Map<string, number>();
  /** Names of the parameters that took the last step. */
  private moved: readonly string[] = [];
  private readonly kept = new Map<string, Tensor>();
  protected readonly device: TensorDevice;

  constructor(readonly groups: readonly OptimizedGroup[]) {
    const parameters = groups.flatMap((group) => [...group.parameters]);
    const first = parameters[0];
    if (!first) throw new EngineError('optimizer: there is no parameter to train');
    const names = new Set<string>();
    for (const [name, { dtype, contiguous }] of parameters) {
      if (names.has(name)) throw new EngineError(`optimizer: ${name} stands in two groups; name it in one`);
      names.add(name);
      if (dtype !== 'f32' || !contiguous) {
        throw new EngineError(
          `optimizer: ${name} is ${contiguous ? dtype : 'a view that is not dense'}; parameters are dense f32 tensors. Cast copies for use.`,
        );
      }
    }
    this.device = first[1].device;
  }

  /** State by name of parameter and kind: to be saved, and to be written into when a run goes on. */
  get state(): ReadonlyMap<string, Tensor> {
    for (const { parameters } of this.groups) {
      for (const [name, parameter] of parameters) {
        for (const kind of this.kinds) this.stateOf(name, kind, parameter);
      }
    }
    return this.kept;
  }

  /**
   * Changes every parameter that has a gradient.
   * @param control from `controlGradients`; without it gradients are taken as they are
   * @throws RangeError, before anything is changed, for a learning rate that is not finite
   */
  step(control?: GradientControl): void {
    for (const { learningRate } of this.groups) {
      if (Number.isFinite(learningRate)) continue;
      throw new RangeError(`optimizer: the learning rate is ${learningRate}; expected a finite number`);
    }
    const present = this.groups.flatMap((group) =>
      [...group.parameters].flatMap(([name, parameter]) =>
        parameter.gradient && parameter.size > 0
          ? [{ name, parameter, gradient: parameter.gradient, group }]
          : [],
      ),
    );
    this.moved = present.map(({ name }) => name);
    this.count(1);
    noGrad(() =>
      this.device.scope(() => {
        const given = control ?? this.unchanged();
        for (const group of this.groups) {
          const own = present.filter((moving) => moving.group === group);
          this.device.scope(() => this.update(own, group, given));
        }
      }),
    );
  }

  /** Takes the last step back out of the count: it was left out for gradients that were not finite. */
  discountStep(): void {
    this.count(-1);
    this.moved = [];
  }

  dispose(): void {
    for (const tensor of this.kept.values()) tensor.dispose();
    this.kept.clear();
  }

  /** Kinds of state kept for every parameter. */
  protected abstract readonly kinds: readonly string[];

  /** Changes the parameters of a group that have gradients. */
  protected abstract update(
    parameters: readonly MovingParameter[],
    group: OptimizedGroup,
    control: GradientControl,
  ): void;

  /** A tensor of the parameter's shape, zero before the first step. */
  protected stateOf(name: string, kind: string, parameter: Tensor): Tensor {
    const key = `${name}.${kind}`;
    const known = this.kept.get(key);
    if (known) return known;
    const zeros = this.device.keep(fill(allocate(this.device, 'f32', parameter.shape, key), 0));
    this.kept.set(key, zeros);
    return zeros;
  }

  private count(step: 1 | -1): void {
    for (const name of this.moved) this.steps.set(name, (this.steps.get(name) ?? 0) + step);
  }

  private unchanged(): GradientControl {
    const [norm, factor] = [NaN, 1].map((value) => this.device.tensor(Float32Array.of(value), [1]));
    return { norm: norm!, factor: factor!, skip: this.device.tensor(Uint32Array.of(0), [1]) };
  }
}
