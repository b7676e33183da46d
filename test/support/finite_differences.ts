/** Gradients against central differences, taken on the device itself. */
import { expect } from '@jest/globals';
import { type Device, type Tensor, backward, multiply, noGrad, sum } from '../../engine/index.js';
import { Random, sizeOf } from './numbers.js';

/**
 * Compares the gradients of `sum(work(...) * r)` for a random `r` with central differences.
 * @param limit largest difference allowed, relative to the largest gradient of the operand
 */
export async function expectGradients(
  device: Device,
  shapes: readonly (readonly number[])[],
  work: (...inputs: readonly Tensor[]) => Tensor,
  { step = 2 ** -6, limit = 5e-3 }: { step?: number; limit?: number } = {},
): Promise<void> {
  const random = new Random(sizeOf(shapes.flat()) + shapes.length);
  const data = shapes.map((shape) => random.floats(sizeOf(shape)));
  let weights: Float32Array<ArrayBuffer> | undefined;
  const loss = (inputs: readonly Tensor[]): Tensor => {
    const result = work(...inputs);
    weights ??= random.floats(result.size);
    const products = multiply(result, device.tensor(weights, result.shape));
    return sum(
      products,
      result.shape.map((_, d) => d),
    );
  };
  const upload = (): Tensor[] => shapes.map((shape, i) => device.tensor(data[i]!, shape));
  const inputs = upload().map((input) => input.requireGradient());
  device.scope(() => backward(loss(inputs)));
  for (const [i, input] of inputs.entries()) {
    const gradient = await input.gradient!.read();
    const expected: number[] = [];
    for (let at = 0; at < input.size; at++) {
      const original = data[i]![at]!;
      const sides = [original + step, original - step].map((value) => {
        data[i]![at] = value;
        return device.scope(() => noGrad(() => loss(upload())));
      });
      data[i]![at] = original;
      const [above, below] = (await device.readAll(sides)).map(([value]) => value!);
      sides.forEach((side) => side.dispose());
      expected.push((above! - below!) / (Math.fround(original + step) - Math.fround(original - step)));
    }
    const largest = Math.max(...expected.map(Math.abs), 1e-6);
    const furthest = Math.max(...expected.map((value, at) => Math.abs(value - gradient[at]!)));
    expect(gradient).toHaveLength(expected.length);
    expect(furthest / largest).toBeLessThan(limit);
    input.clearGradient();
  }
}
