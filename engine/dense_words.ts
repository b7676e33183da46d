import { type Launch, type Operand, launchUnary } from '../kernels/index.js';
import { shapeText } from './shape.js';
import { anyAxis, inParts } from './splitting.js';
import { type Tensor, allocate } from './tensor.js';

/** A dense copy in 4-byte elements, for the host to read, or another view of the tensor where it is one already. */
export function denseWords(tensor: Tensor): Tensor {
  const { device, dtype, shape } = tensor;
  if (tensor.contiguous && dtype !== 'f16') return tensor.view(shape, tensor.strides, tensor.offset);
  const copy = allocate(device, dtype === 'f16' ? 'f32' : dtype, shape, 'read');
  if (tensor.size === 0) return copy;
  const build = ([from, to]: readonly Operand[]): Launch => launchUnary('copy', from!, to!, device.traits);
  inParts(
    { tensor, copy },
    () => anyAxis(tensor.rank, ['tensor', 'copy']),
    (part) => device.dispatch(build, [part.tensor, part.copy], () => `read ${dtype}${shapeText(shape)}`),
  );
  return copy;
}
