/** Operations and bytes that work takes at least, by which speeds are told. */
import { type FloatType, type OperandSpecification, type Work, operandsOf } from './work.js';

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
export function workCost(work: Work, dtype: FloatType): WorkCost {
  const { inputs, outputs } = operandsOf(work, dtype);
  const bytes = [...Object.values(inputs), ...Object.values(outputs)].reduce(
    (sum, operand) => sum + operandBytes(operand),
    0,
  );
  // Whole tables of embeddings are not read.
  if (work.kernel === 'embedding') return { flops: 0, bytes: bytes - skippedBytes(work, dtype) };
  if (work.kernel === 'embedding_gradient') {
    return { flops: 0, bytes: bytes + operandBytes(inputs['gradient']!) - skippedBytes(work, dtype) };
  }
  return { flops: flopsOf(work), bytes };
}

export function operandBytes({ shape, dtype }: OperandSpecification): number {
  return shape.reduce((product, size) => product * size, dtype === 'f16' ? 2 : 4);
}

function skippedBytes(
  { rows, tableRows, width }: { rows: number; tableRows: number; width: number },
  dtype: FloatType,
): number {
  return Math.max(0, tableRows - rows) * width * (dtype === 'f16' ? 2 : 4);
}

function flopsOf(work: Work): number {
  if (work.kernel === 'matmul') return 2 * work.batch * work.rows * work.depth * work.columns;
  if (!('heads' in work)) return 0;
  const pairs = work.batch * work.heads * work.queries * work.keys * (work.causal ? 0.5 : 1);
  return (work.kernel === 'attention' ? 4 : 10) * pairs * work.width;
}
