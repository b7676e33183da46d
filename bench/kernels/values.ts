/** What operands hold when they are timed: the same for our kernels, for peers and for the reference. */
import { type FloatType, type OperandSpecification, type Work, operandsOf } from './work.js';

export type OperandValues = Readonly<Record<string, Float32Array | Uint32Array>>;

/**
 * Values of all inputs of some work, by name: floats in [-1, 1). For f16 they are multiples of 1/1024, which it holds as
 * they are; for f32 they have all of its digits, so that sums of products are rounded.
 */
export function inputValues(work: Work, dtype: FloatType): OperandValues {
  const { inputs } = operandsOf(work, dtype);
  return Object.fromEntries(
    Object.entries(inputs).map(([name, specification], index): [string, Float32Array | Uint32Array] => {
      if (specification.dtype === 'u32') return [name, ids(specification, entriesOf(work))];
      const values = floats(specification, index + 1, dtype === 'f16' ? 10 : 23);
      // A mean of squares is not negative.
      return [name, name === 'secondMoment' ? values.map((value) => Math.abs(value)) : values];
    }),
  );
}

function count({ shape }: OperandSpecification): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** @param bits of each value after the point */
function floats(specification: OperandSpecification, seed: number, bits: number): Float32Array {
  const values = new Float32Array(count(specification));
  const [scale, half] = [2 ** (bits + 1 - 32), 2 ** bits];
  let state = Math.imul(seed, 0x9e3779b1) >>> 0;
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = (Math.floor(state * scale) - half) / half;
  }
  return values;
}

/** Ids in an order that no cache foresees. */
function ids(specification: OperandSpecification, entries: number): Uint32Array {
  return Uint32Array.from({ length: count(specification) }, (_, i) => (i * 7919) % entries);
}

function entriesOf(work: Work): number {
  if ('tableRows' in work) return work.tableRows;
  return 'width' in work ? work.width : 1;
}
