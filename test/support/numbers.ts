import { expect } from '@jest/globals';
import { type Device, type Dtype, type Tensor, cast } from '../../engine/index.js';

/** Relative errors (norm-wise) that kernels may make in each storage type. */
export const tolerance = { f32: 1e-5, f16: 3e-3 } as const;

/** Seeded numbers, so that a failing case fails again. */
export class Random {
  constructor(private state: number) {}

  /** Uniform in [0, 1), by the mulberry32 generator. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  integer(end: number): number {
    return Math.floor(this.next() * end);
  }

  floats(count: number, low = -2, high = 2): Float32Array<ArrayBuffer> {
    return Float32Array.from({ length: count }, () => low + (high - low) * this.next());
  }

  integers(count: number, end: number): Uint32Array<ArrayBuffer> {
    return Uint32Array.from({ length: count }, () => this.integer(end));
  }
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}

/** A tensor of the values in f32 or f16, and the values as they are stored. */
export async function stored(
  device: Device,
  values: Float32Array<ArrayBuffer>,
  shape: readonly number[],
  dtype: 'f32' | 'f16' = 'f32',
): Promise<{ tensor: Tensor; values: ArrayLike<number> }> {
  const tensor = device.tensor(values, shape);
  if (dtype === 'f32') return { tensor, values };
  const half = cast(tensor, dtype);
  tensor.dispose();
  return { tensor: half, values: await half.read() };
}

/** A tensor of NaN (of a bit pattern that no test expects, for integers), so that elements left out are seen. */
export function poisoned(device: Device, shape: readonly number[], dtype: Dtype = 'f32'): Tensor {
  if (dtype === 'u32') return device.tensor(new Uint32Array(sizeOf(shape)).fill(0xdeadbeef), shape);
  if (dtype === 'i32') return device.tensor(new Int32Array(sizeOf(shape)).fill(-0x5eadbeef), shape);
  const tensor = device.tensor(new Float32Array(sizeOf(shape)).fill(NaN), shape);
  if (dtype === 'f32') return tensor;
  const half = cast(tensor, dtype);
  tensor.dispose();
  return half;
}

/** Makes the pool's next buffer for such a result one that is full of NaN. */
export function poisonPool(device: Device, shape: readonly number[], dtype: Dtype = 'f32'): void {
  poisoned(device, shape, dtype).dispose();
}

/**
 * Compares by the norm of the difference over the norm of what is expected; NaN and infinities must lie at the same
 * places.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  limit: number = tolerance.f32,
): void {
  expect(actual.length).toBe(expected.length);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i]!, expected[i]!];
    if (Number.isFinite(e) && Number.isFinite(a)) {
      difference += (a - e) ** 2;
      norm += e ** 2;
    } else if (!Object.is(a, e)) {
      throw new Error(`element ${i} is ${a}, expected ${e}`);
    }
  }
  expect(Math.sqrt(difference)).toBeLessThanOrEqual(limit * Math.sqrt(norm) + Number.MIN_VALUE);
}
