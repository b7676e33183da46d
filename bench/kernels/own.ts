import type { Device } from '../../engine/index.js';
import { ownAttention, ownAttentionGradient, ownMatmul } from './own_products.js';
import { ownElements } from './own_elements.js';
import { ownEmbedding } from './own_embedding.js';
import { ownRows } from './own_rows.js';
import { type OwnWork, allocateOperands } from './own_work.js';
import type { OperandValues } from './values.js';
import type { NumberType, Work } from './work.js';

/** Lays out some work on a device for our own kernels. The caller's scope frees its tensors. */
export function prepareOwnWork(
  device: Device,
  work: Work,
  dtype: NumberType,
  values: OperandValues,
): OwnWork {
  const bench = allocateOperands(device, work, dtype, values);
  if (work.kernel === 'matmul') return ownMatmul(bench, work, dtype);
  if ('heads' in work) {
    return work.kernel === 'attention' ? ownAttention(bench, work) : ownAttentionGradient(bench, work);
  }
  if ('tableRows' in work) return ownEmbedding(bench, work);
  return 'count' in work ? ownElements(bench, work) : ownRows(bench, work);
}
