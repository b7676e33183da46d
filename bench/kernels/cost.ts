/** Operations and bytes that work takes at least, by which speeds are told. */
import { bytesPerElement } from '../../kernels/index.js';
import { type NumberType, type OperandSpecification, type Work, operandsOf } from './work.js';

export interface WorkCost {
  /** Floating-point operations of its matrix products, a multiply-add as two; 0 where moving memory takes the time. */
  readonly flops: number;
  /** Every operand once. */
  readonly bytes: number;
}

/**
 * Of the gradients of attention five products are counted (the scores, the slopes and three gradients), as is usual,
 * however often a kernel computes the scores; with a causal mask, half the pairs.
 */
export function workCost(work: Work, dtype: NumberType): WorkCost {
  const { inputs, outputs } = operandsOf(work, dtype);
  const bytes = [...Object.values(inputs), ...Object.values(outputs)].reduce(
    (sum, operand) => sum + operandBytes(operand),
    0,
  );
  // Of a table only the rows that are asked for are read; its gradient is written whole.
  const unread =
    work.kernel === 'embedding' || work.kernel === 'gather'
      ? Math.max(0, work.tableRows - work.rows) * work.width
      : 0;
  return { flops: flopsOf(work), bytes: bytes - unread * (dtype === 'f16' ? 2 : 4) };
}

export function operandBytes({ shape, dtype }: OperandSpecification): number {
  return shape.reduce((product, size) => product * size, bytesPerElement[dtype]);
}

function flopsOf(work: Work): number {
  if (work.kernel === 'matmul') return 2 * work.batch * work.rows * work.depth * work.columns;
  if (!('heads' in work)) return 0;
  const pairs = work.batch * work.heads * work.queries * work.keys * (work.causal ? 0.5 : 1);
  return (work.kernel === 'attention' ? 4 : 10) * pairs * work.width;
}
