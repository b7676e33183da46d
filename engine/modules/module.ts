import { EngineError } from '../errors.js';
import type { RandomGenerator } from '../random.js';
import { elementCount } from '../../kernels/index.js';
import { Tensor, type TensorDevice } from '../tensor.js';

/** What a layer needs to make its parameters. */
export interface ModuleContext {
  readonly device: TensorDevice;
  /** Draws the first values: the same seed and order of layers give the same network. */
  readonly random: RandomGenerator;
}

/**
 * Part of a network. Its parameters are the tensors in its fields and those of the modules in its fields, also within
 * arrays; what is neither to be trained nor saved belongs into `#private` fields.
 */
export abstract class Module {
  #training = true;

  /** Whether layers that act otherwise while training, as `Dropout`, do so. True at first. */
  get training(): boolean {
    return this.#training;
  }

  /** Sets `training` here and in every module within, and returns this module. */
  train(training = true): this {
    this.#training = training;
    for (const [, part] of partsOf(this)) if (part instanceof Module) part.train(training);
    return this;
  }

  /**
   * All parameters by name, f32 with `requireGradient()`. Names of nested ones are joined by dots (`layers.0.weight`). A
   * parameter in two places has the name of the first.
   */
  parameters(): Map<string, Tensor> {
    const named = new Map<string, Tensor>();
    const seen = new Set<Tensor>();
    for (const [name, part] of partsOf(this)) {
      const within = part instanceof Module ? part.parameters() : new Map([['', part]]);
      for (const [inner, tensor] of within) {
        if (seen.has(tensor)) continue;
        seen.add(tensor);
        named.set(inner === '' ? name : `${name}.${inner}`, tensor);
      }
    }
    return named;
  }

  /** Takes all gradients away, as before the next step of an optimizer. */
  clearGradients(): void {
    for (const parameter of this.parameters().values()) parameter.clearGradient();
  }

  /** Frees all parameters and their gradients. Scopes do not: parameters live until then. */
  dispose(): void {
    for (const parameter of this.parameters().values()) parameter.dispose();
  }
}

function partsOf(module: Module): [name: string, part: Tensor | Module][] {
  const parts: [string, Tensor | Module][] = [];
  const visit = (name: string, value: unknown): void => {
    if (value instanceof Tensor || value instanceof Module) parts.push([name, value]);
    else if (Array.isArray(value)) value.forEach((item, i) => visit(`${name}.${i}`, item));
  };
  for (const [name, value] of Object.entries(module)) visit(name, value);
  return parts;
}

/** A parameter of host values. */
export function parameterOf(
  { device }: Pick<ModuleContext, 'device'>,
  shape: readonly number[],
  value: () => number,
): Tensor {
  const values = Float32Array.from({ length: elementCount(shape) }, value);
  return device.keep(device.tensor(values, shape).requireGradient());
}

/** Draws uniformly from -bound to bound. */
export const uniform =
  ({ random }: ModuleContext, bound: number) =>
  (): number =>
    (2 * random.next() - 1) * bound;

/** @throws EngineError for sizes that no layer has */
export function needSizes(layer: string, sizes: Readonly<Record<string, number>>): void {
  for (const [name, size] of Object.entries(sizes)) {
    if (Number.isSafeInteger(size) && size > 0) continue;
    throw new EngineError(`${layer}: ${name} is ${size}; expected a whole number above 0`);
  }
}
