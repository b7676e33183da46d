import { EngineError } from '../errors.js';
import { shapeText } from '../shape.js';
import type { Tensor } from '../tensor.js';

/** Host values of a parameter, row-major. */
export interface ParameterValues {
  readonly shape: readonly number[];
  readonly values: Float32Array<ArrayBuffer>;
}

type Parameters = ReadonlyMap<string, Tensor>;

/**
 * Brings parameters to the host, with one wait for the GPU.
 * @param parameters from `module.parameters()`, or an optimizer's `state`
 */
export async function readParameters(parameters: Parameters): Promise<Map<string, ParameterValues>> {
  const tensors = [...parameters.values()];
  const [first] = tensors;
  const read = first ? await first.device.readAll(tensors) : [];
  return new Map(
    [...parameters].map(([name, { shape }], i) => [name, { shape, values: Float32Array.from(read[i]!) }]),
  );
}

/**
 * Writes host values into parameters, once all names and shapes were found to be the same.
 * @param parameters from `module.parameters()`, or an optimizer's `state`
 * @throws EngineError, before anything is written, for a parameter without values, values without a parameter, or another
 *   shape
 */
export function writeParameters(parameters: Parameters, values: ReadonlyMap<string, ParameterValues>): void {
  for (const [name, { dtype, shape, size }] of parameters) {
    const given = values.get(name);
    if (!given) throw new EngineError(`writeParameters: there are no values for ${name}`);
    if (shapeText(given.shape) !== shapeText(shape) || given.values.length !== size || dtype !== 'f32') {
      throw new EngineError(
        `writeParameters: ${given.values.length} f32 values of shape ${shapeText(given.shape)} do not fit ${name}, ` +
          `${dtype}${shapeText(shape)}`,
      );
    }
  }
  for (const name of values.keys()) {
    if (!parameters.has(name)) throw new EngineError(`writeParameters: there is no parameter ${name}`);
  }
  for (const [name, tensor] of parameters) tensor.device.write(tensor, values.get(name)!.values);
}
