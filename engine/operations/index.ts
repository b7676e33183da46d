/** Every operation, one row each. */
import { attentionRow } from './attention.js';
import { binary, unary } from './elementwise.js';
import { matmulRow } from './matmul.js';
import { pickingOperations } from './picking.js';
import { rowOperations } from './rows.js';

export { attention, type AttentionOptions } from './attention.js';
export {
  add,
  cast,
  concat,
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
  sigmoid,
  sqrt,
  subtract,
  tanh,
} from './elementwise.js';
export { linear, matmul, type MatmulOptions } from './matmul.js';
export type { Split } from '../splitting.js';
export type { Inputs, Operation, TensorSpecification } from './operation.js';
export { embedding, endPadding, gather } from './picking.js';
export { argmax, layerNorm, logSoftmax, max, mean, softmax, sum } from './rows.js';

/** The rows themselves, for tools that list or measure them. */
export const operations = [
  matmulRow,
  attentionRow,
  unary,
  binary,
  ...rowOperations,
  ...pickingOperations,
] as const;
