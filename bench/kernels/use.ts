import type { AttentionWork, HalfOperand, MatmulWork, RowWork, Work } from './work.js';

/** Work of a model, and what for. */
export interface Use {
  readonly work: Work;
  /** Passes over all positions are `refining`, the cross branch's over its draft as well. */
  readonly stage: 'loading' | 'encoding' | 'decoding' | 'refining' | 'training';
  /** What it is for, as `image encoder, feed-forward in`. */
  readonly purpose: string;
  /** How often it occurs as a model is loaded, in a reading of a batch, or in a training step of a model whose blocks are all trained. */
  readonly occurrences: number;
  /** What it works on where that gets no gradient: what a convolution multiplies, or what presets do not train by it. */
  readonly of?: 'pixels' | 'detached features' | 'a frozen table';
  readonly besideAttention?: BesideAttention;
}

/** Of a product that gives or takes what attention does: what becomes f16 where units for matrices attend. */
export interface BesideAttention {
  /** Of the attention, and the width of its heads. */
  readonly queries: number;
  readonly width: number;
  readonly halves: readonly HalfOperand[];
}

type Linear = Partial<Pick<MatmulWork, 'activation' | 'bias' | 'residual' | 'rightTransposed'>>;

/** `x weightᵀ + bias`, unless the options say otherwise. */
export function linear(rows: number, depth: number, columns: number, options: Linear = {}): MatmulWork {
  return {
    kernel: 'matmul',
    batch: 1,
    rows,
    depth,
    columns,
    leftTransposed: false,
    rightTransposed: true,
    bias: true,
    activation: 'none',
    residual: false,
    ...options,
  };
}

export function attention(
  batch: number,
  heads: number,
  [queries, keys]: readonly [number, number],
  width: number,
  causal = false,
): AttentionWork {
  return { kernel: 'attention', batch, heads, queries, keys, width, causal };
}

/** Work on `count` rows. */
export function rows(kernel: RowWork['kernel'], count: number, width: number): RowWork {
  return { kernel, rows: count, width };
}
