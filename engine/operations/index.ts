/** Every operation, one row each. */
import { attentionRow } from './attention.js';
import { concatRow } from './concat.js';
import { binary, unary } from './elementwise.js';
import { matmulRow } from './matmul.js';
import { pickingOperations } from './picking.js';
import { rowOperations } from './rows.js';

export { attention, type AttentionOptions } from './attention.js';
export { concat } from './concat.js';
export {
  add,
  cast,
  contiguous,
  copyInto,
  divide,
  exp,
  gelu,
  log,
  multiply,
  negate,
  patches,
  quickGelu,
  reciprocal,
  relu,
  scale,
  sigmoid,
  sqrt,
  subtract,
  tanh,
} from './elementwise.js';
export { fill } from './fill.js';
export { linear, matmul, type MatmulOptions } from './matmul.js';
export type { Split } from '../splitting.js';
export type { Backward, BackwardContext } from './backward.js';
export type { Inputs, Operation, TensorSpecification } from './operation.js';
export { embedding, endPadding, gather } from './picking.js';
export { argmax, layerNorm, logSoftmax, max, mean, softmax, sum } from './rows.js';

/** The rows themselves, for tools that list or measure them. */
export const operations = [
  matmulRow,
  attentionRow,
  unary,
  binary,
  concatRow,
  ...rowOperations,
  ...pickingOperations,
] as const;
