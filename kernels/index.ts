/** The kernels and what describes them; see design notes in each `.wgsl` header. */
export * from './attention.js';
export * from './column_sum.js';
export * from './cross_entropy.js';
export * from './elementwise.js';
export * from './embedding.js';
export * from './fill.js';
export * from './gradient_norm.js';
export * from './kernel.js';
export * from './matmul.js';
export * from './matmul_variants.js';
export * from './optimizer.js';
export * from './philox.js';
export * from './picking.js';
export * from './program.js';
export * from './row_gradients.js';
export * from './rows.js';
export * from './scatter.js';
