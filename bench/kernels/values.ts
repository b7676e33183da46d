/** What operands hold when they are timed: the same for our kernels, for peers and for the reference. */
import { quantizedBlock } from '../../kernels/index.js';
import { type NumberType, type OperandSpecification, type Work, operandsOf } from './work.js';

export type OperandValues = Readonly<Record<string, Float32Array | Uint32Array>>;

/**
 * Values of all inputs of some work, by name: floats in [-1, 1). With f16 they are multiples of 1/1024, which it holds as
 * they are; for f32 they have all of its digits, so that sums of products are rounded. What becomes int8 loses nothing by it.
 */
export function inputValues(work: Work, dtype: NumberType): OperandValues {
  const { inputs } = operandsOf(work, dtype);
  return Object.fromEntries(
    Object.entries(inputs).map(([name, specification], index): [string, Float32Array | Uint32Array] => {
      if (specification.dtype === 'u32') return [name, ids(specification, entriesOf(work))];
      const becomesInt8 = specification.dtype === 'q8' || work.kernel === 'quantize';
      if (becomesInt8) return [name, wholeInBlocks(floats(specification, index + 1, 7))];
      const values = floats(specification, index + 1, dtype === 'f32' ? 23 : 10);
      // Sums and means of squares are not negative.
      return [
        name,
        ['secondMoment', 'squares'].includes(name) ? values.map((value) => Math.abs(value)) : values,
      ];
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

/** Multiples of 1/128 as blocks of int8 hold them: the largest of each is 127 of them. */
function wholeInBlocks(values: Float32Array): Float32Array {
  const most = 127 / 128;
  return values.map((value, i) => (i % quantizedBlock === 0 ? most : Math.max(-most, value)));
}

/** Ids in an order that no cache foresees. */
function ids(specification: OperandSpecification, entries: number): Uint32Array {
  return Uint32Array.from({ length: count(specification) }, (_, i) => (i * 7919) % entries);
}

function entriesOf(work: Work): number {
  if ('tableRows' in work) return work.tableRows;
  return 'width' in work ? work.width : 1;
}
