/** What operands hold when they are timed: the same for our kernels, for peers and for the reference. */
import { type OperandSpecification, type Work, operandsOf } from './work.js';

export type OperandValues = Readonly<Record<string, Float32Array | Uint32Array>>;

/** Values of all inputs of some work, by name. Floats are multiples of 1/1024 in [-1, 1), which f16 holds as they are. */
export function inputValues(work: Work): OperandValues {
  const { inputs } = operandsOf(work, 'f32');
  return Object.fromEntries(
    Object.entries(inputs).map(([name, specification], index) => [
      name,
      specification.dtype === 'u32'
        ? ids(specification, entriesOf(work))
        : floats(specification, index + 1, name),
    ]),
  );
}

function count({ shape }: OperandSpecification): number {
  return shape.reduce((product, size) => product * size, 1);
}

function floats(specification: OperandSpecification, seed: number, name: string): Float32Array {
  const values = new Float32Array(count(specification));
  let state = Math.imul(seed, 0x9e3779b1) >>> 0;
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const value = ((state >>> 21) - 1024) / 1024;
    // A mean of squares is not negative.
    values[i] = name === 'secondMoment' ? Math.abs(value) : value;
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
