/** The results of pieces of work in float64, from the definitions. */
import type { OperandValues } from '../../bench/kernels/values.js';
import type { AttentionWork, EmbeddingWork, MatmulWork, RowWork, Work } from '../../bench/kernels/work.js';
import { attentionGradientReference, attentionReference } from './attention_reference.js';
import { gelu, quickGelu, rowsOf, softmaxRow } from './float64.js';

type Results = Readonly<Record<string, ArrayLike<number>>>;

/** Outputs by their names in `operandsOf(work)`. Layer normalisation adds 1e-5; losses have weight 1 each. */
export function workReference(work: Work, values: OperandValues): Results {
  const { x, y, gradient } = values;
  switch (work.kernel) {
    case 'matmul':
      return { result: matmul(work, values) };
    case 'attention':
    case 'attention_gradient':
      return attention(work, values);
    case 'embedding':
    case 'embedding_gradient':
      return { result: embedding(work, values) };
    case 'copy':
      return { result: x! };
    case 'add':
      return { result: Float64Array.from(x!, (value, i) => value + y![i]!) };
    case 'gelu':
      return { result: Float64Array.from(x!, gelu) };
    case 'quick_gelu':
      return { result: Float64Array.from(x!, quickGelu) };
    case 'gelu_gradient':
      return { result: Float64Array.from(x!, (value, i) => slope(gelu, value) * gradient![i]!) };
    case 'quick_gelu_gradient':
      return { result: Float64Array.from(x!, (value, i) => slope(quickGelu, value) * gradient![i]!) };
    case 'adamw':
      throw new Error('AdamW has settings that work does not tell');
    case 'layernorm':
    case 'layernorm_gradient':
    case 'softmax':
    case 'softmax_gradient':
    case 'argmax':
    case 'column_sum':
    case 'cross_entropy':
    case 'cross_entropy_gradient':
      return ofRows(work, values);
  }
}

/** A derivative by central differences, good to about 1e-10. */
function slope(call: (x: number) => number, x: number): number {
  const step = 1e-4;
  const wide = (call(x + 2 * step) - call(x - 2 * step)) / (4 * step);
  const narrow = (call(x + step) - call(x - step)) / (2 * step);
  return (4 * narrow - wide) / 3;
}

function matmul(work: MatmulWork, { left, right, bias, residual }: OperandValues): Float64Array {
  const { batch, rows, depth, columns } = work;
  const result = new Float64Array(batch * rows * columns);
  for (let at = 0; at < result.length; at++) {
    const [b, r, c] = [Math.floor(at / columns / rows), Math.floor(at / columns) % rows, at % columns];
    let sum = bias ? bias[c]! : 0;
    for (let d = 0; d < depth; d++) {
      const l = work.leftTransposed ? (b * depth + d) * rows + r : (b * rows + r) * depth + d;
      const k = work.rightTransposed ? (b * columns + c) * depth + d : (b * depth + d) * columns + c;
      sum += left![l]! * right![k]!;
    }
    if (work.activation !== 'none') sum = work.activation === 'gelu' ? gelu(sum) : quickGelu(sum);
    result[at] = sum + (residual ? residual[at]! : 0);
  }
  return result;
}

/** Each head as a batch of its own, which is how the operands lie. */
function attention(work: AttentionWork, { query, key, value, outputGradient }: OperandValues): Results {
  const { queries, keys, width, causal } = work;
  const shape = { batch: work.batch * work.heads, heads: 1, queries, keys, width, causal };
  if (!outputGradient) return { result: attentionReference(shape, query!, key!, value!) };
  const gradients = attentionGradientReference(shape, query!, key!, value!, outputGradient);
  return {
    queryGradient: gradients.query,
    keyGradient: gradients.key,
    valueGradient: gradients.value,
  };
}

function embedding(work: EmbeddingWork, { table, gradient, index }: OperandValues): Float64Array {
  const { rows, tableRows, width } = work;
  const result = new Float64Array((table ? rows : tableRows) * width);
  for (let i = 0; i < rows * width; i++) {
    const inTable = index![Math.floor(i / width)]! * width + (i % width);
    if (table) result[i] = table[inTable]!;
    else result[inTable]! += gradient![i]!;
  }
  return result;
}

function ofRows({ kernel, width }: RowWork, values: OperandValues): Results {
  const rows = rowsOf((values['x'] ?? values['logits'])!, width);
  const gradients = values['gradient'] ? rowsOf(values['gradient'], width) : [];
  const { targets } = values;
  const flat = (computed: readonly (readonly number[])[]): Results => ({ result: computed.flat() });
  switch (kernel) {
    case 'softmax':
      return flat(rows.map((row) => softmaxRow(row)));
    case 'softmax_gradient':
      return flat(
        rows.map((row, r) => {
          const weights = softmaxRow(row);
          const mean = weights.reduce((sum, weight, i) => sum + weight * gradients[r]![i]!, 0);
          return weights.map((weight, i) => weight * (gradients[r]![i]! - mean));
        }),
      );
    case 'argmax':
      return { result: rows.map((row) => row.indexOf(Math.max(...row))) };
    case 'column_sum':
      return { result: columnSum(rows) };
    case 'cross_entropy':
      return { result: rows.map((row, r) => -softmaxRow(row, true)[targets![r]!]!) };
    case 'cross_entropy_gradient':
      return flat(rows.map((row, r) => softmaxRow(row).map((p, i) => p - Number(i === targets![r]))));
    case 'layernorm': {
      const { weight, bias } = values;
      return flat(rows.map((row) => normalized(row).row.map((n, i) => n * weight![i]! + bias![i]!)));
    }
    case 'layernorm_gradient': {
      const normals = rows.map(normalized);
      const result = normals.map(({ row, scale }, r) => {
        const bent = gradients[r]!.map((g, i) => g * values['weight']![i]!);
        const mean = bent.reduce((sum, g) => sum + g, 0) / width;
        const along = bent.reduce((sum, g, i) => sum + g * row[i]!, 0) / width;
        return bent.map((g, i) => scale * (g - mean - row[i]! * along));
      });
      return {
        result: result.flat(),
        weightGradient: columnSum(gradients.map((row, r) => row.map((g, i) => g * normals[r]!.row[i]!))),
        biasGradient: columnSum(gradients),
      };
    }
  }
}

function columnSum(rows: readonly (readonly number[])[]): number[] {
  return rows[0]!.map((_, i) => rows.reduce((sum, row) => sum + row[i]!, 0));
}

function normalized(row: readonly number[]): { row: number[]; scale: number } {
  const mean = row.reduce((sum, x) => sum + x, 0) / row.length;
  const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length;
  const scale = 1 / Math.sqrt(variance + 1e-5);
  return { row: row.map((x) => (x - mean) * scale), scale };
}
