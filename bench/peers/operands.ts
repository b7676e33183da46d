/** Operands in the layouts that peers take best: what a user of theirs would hold already, so nothing that is timed. */
import type { OperandValues } from '../kernels/values.js';
import { type FloatType, type OperandSpecification, type Work, operandsOf } from '../kernels/work.js';

/** How the operands of attention lie: as they are, or a token's heads side by side, as projections leave them. */
export type HeadLayout = 'heads first' | 'tokens first';

/** An operand as a peer takes it. */
export interface PeerOperand extends OperandSpecification {
  readonly name: string;
}

export interface PeerOperands {
  readonly inputs: readonly PeerOperand[];
  readonly outputs: readonly PeerOperand[];
}

/** Shapes and types as a peer takes them. A batch of one matrix is a matrix; a product in f16 has nothing in f32. */
export function peerOperands(work: Work, dtype: FloatType, layout: HeadLayout): PeerOperands {
  const { inputs, outputs } = operandsOf(work, dtype);
  const listed = (operands: Readonly<Record<string, OperandSpecification>>): PeerOperand[] =>
    Object.entries(operands).map(([name, specification]) => ({
      name,
      ...specification,
      ...(work.kernel === 'matmul' ? { dtype } : {}),
      shape: peerShape(work, specification.shape, layout),
    }));
  return { inputs: listed(inputs), outputs: listed(outputs) };
}

function peerShape(work: Work, shape: readonly number[], layout: HeadLayout): readonly number[] {
  if (work.kernel === 'matmul' && work.batch === 1 && shape.length === 3) return shape.slice(1);
  if (shape.length !== 4 || layout === 'heads first') return shape;
  const [batch, heads, tokens, width] = shape;
  return [batch!, tokens!, heads!, width!];
}

/** Values in a peer's layout from values in ours. */
export function toPeer(work: Work, layout: HeadLayout, values: OperandValues): OperandValues {
  return laidOut(work, layout, values, (shape) => shape);
}

/** Values in our layout from values in a peer's. */
export function fromPeer(work: Work, layout: HeadLayout, values: OperandValues): OperandValues {
  return laidOut(work, layout, values, ([batch, heads, tokens, width]) => [batch!, tokens!, heads!, width!]);
}

function laidOut(
  work: Work,
  layout: HeadLayout,
  values: OperandValues,
  from: (shape: readonly number[]) => readonly number[],
): OperandValues {
  if (layout === 'heads first') return values;
  const { inputs, outputs } = operandsOf(work, 'f32');
  return Object.fromEntries(
    Object.entries(values).map(([name, data]) => {
      const shape = (inputs[name] ?? outputs[name])?.shape;
      return [name, shape?.length === 4 ? swapped(data, from(shape)) : data];
    }),
  );
}

/** Swaps the second and third of four dimensions. */
function swapped(data: Float32Array | Uint32Array, shape: readonly number[]): Float32Array | Uint32Array {
  const [outer, rows, columns, width] = shape as [number, number, number, number];
  const result = data.slice();
  for (let o = 0; o < outer; o++) {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        const from = ((o * rows + r) * columns + c) * width;
        result.set(data.subarray(from, from + width), ((o * columns + c) * rows + r) * width);
      }
    }
  }
  return result;
}
