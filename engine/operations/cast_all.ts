import { castAccess, launchCasts } from '../../kernels/index.js';
import { ShapeError } from '../errors.js';
import { isRecorded, noGrad } from '../graph.js';
import { type Tensor, allocate } from '../tensor.js';
import { recordOperation } from './backward.js';
import { contiguous, needF16, unary } from './elementwise.js';
import { describe, needFloats, needTensors } from './operation.js';
import { dispatchSets } from './sets.js';

/**
 * Tensors in another float type, each as `cast` gives it, in few launches: the copies of a model's weights that mixed
 * precision computes with.
 * @param tensors f32 or f16, of any shapes
 * @returns dense, in the same order; gradients go through them to `tensors`
 * @throws ShapeError for other types, EngineError for f16 where the adapter has none
 */
export function castAll(tensors: readonly Tensor[], dtype: 'f32' | 'f16'): Tensor[] {
  tensors.forEach((tensor) => needTensors('castAll', { tensor }));
  needFloats('castAll', tensors);
  const blocks = tensors.find((tensor) => tensor.dtype === 'q8');
  if (blocks) throw new ShapeError(`castAll: ${describe(blocks)} is for products with it alone`);
  const [first] = tensors;
  if (!first) return [];
  const { device } = first;
  needF16('castAll', device, dtype);
  return device.scope(() => {
    const copies = tensors.map(({ shape }) => allocate(device, dtype, shape, 'castAll'));
    noGrad(() => {
      const sets = tensors.map((tensor, i) => ({ x: contiguous(tensor), result: copies[i]! }));
      dispatchSets('castAll', castAccess, sets, [], (operands) => launchCasts(operands, device.traits));
    });
    return tensors.map((x, i) =>
      isRecorded([x])
        ? recordOperation('cast', unary.backward!, { x }, copies[i]!, { name: 'copy', dtype })
        : copies[i]!,
    );
  });
}
