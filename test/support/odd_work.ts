import type { Work } from '../../bench/kernels/work.js';

/** Odd sizes of every kernel, so that edges of tiles are met. */
export const oddWork: readonly Work[] = [
  {
    kernel: 'matmul',
    batch: 2,
    rows: 19,
    depth: 37,
    columns: 45,
    leftTransposed: false,
    rightTransposed: true,
    bias: true,
    activation: 'gelu',
    residual: true,
  },
  {
    kernel: 'matmul',
    batch: 1,
    rows: 33,
    depth: 70,
    columns: 21,
    leftTransposed: true,
    rightTransposed: false,
    bias: false,
    activation: 'none',
    residual: false,
  },
  { kernel: 'attention', batch: 2, heads: 3, queries: 13, keys: 21, width: 20, causal: false },
  { kernel: 'attention', batch: 1, heads: 2, queries: 17, keys: 17, width: 32, causal: true },
  { kernel: 'attention_gradient', batch: 2, heads: 2, queries: 13, keys: 13, width: 20, causal: true },
  ...(
    [
      'layernorm',
      'layernorm_gradient',
      'softmax',
      'softmax_gradient',
      'argmax',
      'mean',
      'column_sum',
      'cross_entropy',
      'cross_entropy_gradient',
    ] as const
  ).map((kernel): Work => ({ kernel, rows: 301, width: 95 })),
  { kernel: 'embedding', rows: 43, tableRows: 31, width: 20 },
  { kernel: 'gather', rows: 43, tableRows: 31, width: 20 },
  { kernel: 'embedding_gradient', rows: 43, tableRows: 31, width: 20 },
  ...(
    [
      'fill',
      'copy',
      'add',
      'dropout',
      'gelu',
      'quick_gelu',
      'gelu_gradient',
      'quick_gelu_gradient',
      'square_sum',
      'adamw',
      'momentum',
      'lerp',
    ] as const
  ).map((kernel): Work => ({ kernel, count: 1003 })),
  // More than one part of a sum, and whole vectors.
  { kernel: 'square_sum', count: 70_004 },
];
