/** Conversions between single precision and the two 16-bit float formats, bit patterns in Uint16Array. */

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** Half to single precision, one table row per bit pattern: 256 KB once, then one load per value. */
let halfTable: Float32Array | undefined;

function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

export function f32FromHalf(bits: Uint16Array, into: Float32Array, at = 0): void {
  halfTable ??= Float32Array.from({ length: 65536 }, (_, pattern) => halfValue(pattern));
  for (let i = 0; i < bits.length; i++) into[at + i] = halfTable[bits[i]!]!;
}

export function f32FromBrainFloat(bits: Uint16Array, into: Float32Array, at = 0): void {
  const target = new Uint32Array(into.buffer, into.byteOffset + at * 4, bits.length);
  for (let i = 0; i < bits.length; i++) target[i] = bits[i]! << 16;
}

/** The half-precision pattern nearest to `value`; ties go to the even pattern, as in IEEE 754. */
export function halfBits(value: number): number {
  scratch[0] = value;
  const bits = scratchBits[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 is half way between the largest half and the next power of two: from there on it is infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
    return sign | ((rounded - 0x38000000) >>> 13);
  }
  // Subnormal halves are multiples of 2^-24; adding 0.5 makes the single-precision adder round at that place.
  scratch[0] = Math.abs(scratch[0]) + 0.5;
  return sign | (scratchBits[0]! - 0x3f000000);
}

export function halfFromF32(values: Float32Array): Uint16Array {
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) bits[i] = halfBits(values[i]!);
  return bits;
}
