import type { Tensor } from '../tensor.js';
import { Module } from './module.js';

/** A module of one operand, or a function such as `tanh`. */
export type Layer = (Module & { forward(x: Tensor): Tensor }) | ((x: Tensor) => Tensor);

/** Layers one after another. Parameters are named by the layer's position, from 0: `2.weight`. */
export class Sequential extends Module {
  readonly #layers: readonly Layer[];

  constructor(...layers: Layer[]) {
    super();
    this.#layers = layers;
    // Fields named by position, where the base looks for parameters.
    Object.assign(this, Object.fromEntries(layers.entries()));
  }

  /** What the first layer takes to what the last one gives. */
  forward(x: Tensor): Tensor {
    return x.device.scope(() =>
      this.#layers.reduce(
        (value, layer) => (layer instanceof Module ? layer.forward(value) : layer(value)),
        x,
      ),
    );
  }
}
