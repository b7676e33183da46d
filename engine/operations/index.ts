/** Every operation, one row each. */
import { attentionRow } from './attention.js';
import { columnOperations } from './column_sum.js';
import { concatRow } from './concat.js';
import { crossEntropyGradientRow, crossEntropyRow } from './cross_entropy.js';
import { dropoutRow } from './dropout.js';
import { binary, unary } from './elementwise.js';
import { matmulRow } from './matmul.js';
import { pickingOperations } from './picking.js';
import { quantizeRow } from './quantize.js';
import { layerNormGradientRow, softmaxGradientRow } from './row_gradients.js';
import { rowOperations } from './rows.js';

export { attendsInHalves, attention, type AttentionOptions } from './attention.js';
export { castAll } from './cast_all.js';
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
export { crossEntropy } from './cross_entropy.js';
export { dropout } from './dropout.js';
export { fill } from './fill.js';
export { linear, matmul, type MatmulOptions } from './matmul.js';
export type { Split } from '../splitting.js';
export type { Backward, BackwardContext } from './backward.js';
export type { Inputs, Operation, TensorSpecification } from './operation.js';
export { embedding, endPadding, gather } from './picking.js';
export { quantize } from './quantize.js';
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
  ...columnOperations,
  crossEntropyRow,
  crossEntropyGradientRow,
  dropoutRow,
  softmaxGradientRow,
  layerNormGradientRow,
  quantizeRow,
] as const;
