/**
 * Work that a kernel does, as plain values: sizes and nothing of how it is computed. Our own kernels and those of peers
 * take the same work from the same operands.
 */
import { quantizedBlock } from '../../kernels/index.js';

/** Storage type of a floating-point operand. */
export type FloatType = 'f32' | 'f16';

/**
 * How the numbers of some work are stored, sums in f32 in any case. f32 and f16: all alike, but beside weights in f16 the other
 * operands of a product are f32, as models have them (except beside attention by units for matrices, see `halves`), and so
 * are those of a weight's gradient, which units take rounded, and its result, since trained weights are f32. int8: weights in
 * blocks (see `quantize`), the rest f32.
 */
export type NumberType = FloatType | 'int8';

/** `activation(left right + bias) + residual`, `[batch, rows, depth]` by `[batch, depth, columns]`. */
export interface MatmulWork {
  readonly kernel: 'matmul';
  readonly batch: number;
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
  /** Whether the left operand is stored `[batch, depth, rows]`, as the gradients of a weight need it. */
  readonly leftTransposed: boolean;
  /** Whether the right operand is stored `[batch, columns, depth]`, as PyTorch stores weights. */
  readonly rightTransposed: boolean;
  readonly bias: boolean;
  readonly activation: 'none' | 'gelu' | 'quick_gelu';
  readonly residual: boolean;
  /** Of an optimizer's own numbers, which are f32 whatever the weights are. Left out for all else. */
  readonly optimizer?: true;
  /** Operands that are f16 where weights are f16 or int8, though those beside weights are f32 else. Left out for none. */
  readonly halves?: readonly HalfOperand[];
}

export type HalfOperand = 'left' | 'right' | 'result';

/** `softmax(query keyᵀ / sqrt(width)) value`, operands `[batch, heads, tokens, width]`. */
export interface AttentionWork {
  readonly kernel: 'attention' | 'attention_gradient';
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly width: number;
  readonly causal: boolean;
}

/** Work on each row of `[rows, width]` by itself, or down its columns; of `end_padding` rows are texts of token ids. */
export interface RowWork {
  readonly kernel:
    | 'end_padding'
    | 'layernorm'
    | 'layernorm_gradient'
    | 'softmax'
    | 'softmax_gradient'
    | 'argmax'
    | 'mean'
    | 'column_sum'
    | 'cross_entropy'
    | 'cross_entropy_gradient';
  readonly rows: number;
  readonly width: number;
  /** Of `column_sum`: sums down the columns of so many `[rows, width]`, one after another. Left out for one. */
  readonly sums?: number;
}

/** Rows of `[tableRows, width]` by `rows` ids, from a table of embeddings or any tensor, or their gradients added up where they came from. */
export interface EmbeddingWork {
  readonly kernel: 'embedding' | 'embedding_gradient' | 'gather';
  readonly rows: number;
  readonly tableRows: number;
  readonly width: number;
}

/** Work on each of `count` elements by itself, or on all of them alike. */
export interface ElementWork {
  readonly kernel:
    | 'fill'
    | 'copy'
    | 'cast'
    | 'add'
    | 'dropout'
    | 'gelu'
    | 'quick_gelu'
    | 'gelu_gradient'
    | 'quick_gelu_gradient'
    | 'square_sum'
    | 'gradient_norm'
    | 'quantize'
    | 'adamw'
    | 'momentum'
    | 'lerp';
  readonly count: number;
}

export type Work = MatmulWork | AttentionWork | RowWork | EmbeddingWork | ElementWork;

export type KernelName = Work['kernel'];

/** An operand of some work, dense and row-major. */
export interface OperandSpecification<Dtype = FloatType | 'u32' | 'q8'> {
  readonly shape: readonly number[];
  /** u32 for ids, which peers may hold as i32. q8: in blocks of int8. */
  readonly dtype: Dtype;
}

/** What a product is in models: their weights are multiplied alone, and heads of attention together. */
export function roleOf({
  batch,
  leftTransposed,
  optimizer,
}: MatmulWork): 'by a weight' | 'gradient of a weight' | 'of activations' | 'of an optimizer' {
  if (optimizer) return 'of an optimizer';
  if (batch > 1) return 'of activations';
  return leftTransposed ? 'gradient of a weight' : 'by a weight';
}

/** Words of a block of int8: its scale, and four numbers a word. */
export const quantizedWords = 1 + quantizedBlock / 4;

type Operands = Readonly<Record<string, OperandSpecification>>;

/** What is computed from what, by name. */
export interface WorkOperands {
  readonly inputs: Operands;
  readonly outputs: Operands;
}

/** The operands of some work; what is added up over rows is f32. */
export function operandsOf(work: Work, dtype: NumberType): WorkOperands {
  const floats = (...shape: number[]): OperandSpecification<FloatType> => ({
    shape,
    dtype: dtype === 'int8' ? 'f32' : dtype,
  });
  const sums = (...shape: number[]): OperandSpecification<FloatType> => ({ shape, dtype: 'f32' });
  const ids = (...shape: number[]): OperandSpecification => ({ shape, dtype: 'u32' });
  switch (work.kernel) {
    case 'matmul': {
      const { batch, rows, depth, columns } = work;
      const weight = { f32: 'f32', f16: 'f16', int8: 'q8' } as const;
      const role = roleOf(work);
      const beside = role === 'of activations' ? floats : sums;
      const typeOf = (name: HalfOperand): FloatType =>
        dtype !== 'f32' && work.halves?.includes(name) ? 'f16' : beside().dtype;
      return {
        inputs: {
          left: {
            shape: work.leftTransposed ? [batch, depth, rows] : [batch, rows, depth],
            dtype: typeOf('left'),
          },
          right: {
            shape: work.rightTransposed ? [batch, columns, depth] : [batch, depth, columns],
            dtype: role === 'by a weight' ? weight[dtype] : typeOf('right'),
          },
          ...(work.bias ? { bias: beside(columns) } : {}),
          ...(work.residual ? { residual: beside(batch, rows, columns) } : {}),
        },
        outputs: { result: { shape: [batch, rows, columns], dtype: typeOf('result') } },
      };
    }
    case 'attention':
    case 'attention_gradient': {
      const { batch, heads, queries, keys, width } = work;
      const [query, key] = [floats(batch, heads, queries, width), floats(batch, heads, keys, width)];
      return work.kernel === 'attention'
        ? { inputs: { query, key, value: key }, outputs: { result: query } }
        : {
            inputs: { query, key, value: key, outputGradient: query },
            outputs: { queryGradient: query, keyGradient: key, valueGradient: key },
          };
    }
    case 'layernorm':
    case 'layernorm_gradient': {
      const [x, vector] = [floats(work.rows, work.width), floats(work.width)];
      return work.kernel === 'layernorm'
        ? { inputs: { x, weight: vector, bias: vector }, outputs: { result: x } }
        : {
            inputs: { x, gradient: x, weight: vector },
            outputs: { result: x, weightGradient: sums(work.width), biasGradient: sums(work.width) },
          };
    }
    case 'softmax':
      return {
        inputs: { x: floats(work.rows, work.width) },
        outputs: { result: floats(work.rows, work.width) },
      };
    case 'softmax_gradient': {
      // What went into the softmax, whose output an engine may have kept.
      const x = floats(work.rows, work.width);
      return { inputs: { x, gradient: x }, outputs: { result: x } };
    }
    case 'end_padding': {
      const texts = ids(work.rows, work.width);
      return { inputs: { texts }, outputs: { result: texts } };
    }
    case 'argmax':
      return { inputs: { x: floats(work.rows, work.width) }, outputs: { result: ids(work.rows) } };
    case 'mean':
      return { inputs: { x: floats(work.rows, work.width) }, outputs: { result: floats(work.rows) } };
    case 'column_sum': {
      const outer = work.sums === undefined ? [] : [work.sums];
      return {
        inputs: { x: floats(...outer, work.rows, work.width) },
        outputs: { result: sums(...outer, work.width) },
      };
    }
    case 'cross_entropy':
    case 'cross_entropy_gradient': {
      const [logits, targets] = [floats(work.rows, work.width), ids(work.rows)];
      return {
        inputs: { logits, targets },
        outputs: { result: work.kernel === 'cross_entropy' ? sums(work.rows) : logits },
      };
    }
    case 'embedding':
    case 'gather':
    case 'embedding_gradient': {
      const [table, index] = [floats(work.tableRows, work.width), ids(work.rows)];
      const rows = floats(work.rows, work.width);
      return work.kernel === 'embedding_gradient'
        ? { inputs: { gradient: rows, index }, outputs: { result: table } }
        : { inputs: { table, index }, outputs: { result: rows } };
    }
    case 'fill':
      return { inputs: {}, outputs: { result: floats(work.count) } };
    case 'copy':
    case 'dropout':
    case 'gelu':
    case 'quick_gelu':
      return { inputs: { x: floats(work.count) }, outputs: { result: floats(work.count) } };
    case 'cast':
      return { inputs: { x: sums(work.count) }, outputs: { result: floats(work.count) } };
    case 'square_sum':
      return { inputs: { x: floats(work.count) }, outputs: { result: sums(1) } };
    case 'gradient_norm':
      // The norm, and the factor by which it clips.
      return { inputs: { squares: sums(work.count) }, outputs: { result: sums(2) } };
    case 'quantize':
      return {
        inputs: { x: floats(work.count) },
        outputs: { result: ids(quantizedWords * (work.count / quantizedBlock)) },
      };
    case 'add':
    case 'gelu_gradient':
    case 'quick_gelu_gradient': {
      const x = floats(work.count);
      return { inputs: work.kernel === 'add' ? { x, y: x } : { x, gradient: x }, outputs: { result: x } };
    }
    case 'momentum': {
      const [buffer, gradient] = [sums(work.count), floats(work.count)];
      return { inputs: { buffer, gradient }, outputs: { buffer, result: gradient } };
    }
    case 'lerp': {
      const average = sums(work.count);
      return { inputs: { average, value: floats(work.count) }, outputs: { average } };
    }
    case 'adamw': {
      const state = sums(work.count);
      return {
        inputs: { parameter: state, gradient: floats(work.count), firstMoment: state, secondMoment: state },
        outputs: { parameter: state, firstMoment: state, secondMoment: state },
      };
    }
  }
}
