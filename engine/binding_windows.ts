/** Which part of a tensor's buffer a kernel is shown: all of it, or a window where the buffer is larger than a binding. */
import { type Operand, bytesPerElement } from '../kernels/index.js';
import { EngineError } from './errors.js';
import type { Binding } from './programs.js';
import { shapeText, viewExtent } from './shape.js';
import type { Tensor } from './tensor.js';

export interface BindingLimits {
  /** Largest part of a buffer that one kernel can see, in bytes. */
  readonly largestBytes: number;
  /** What the start of a part is a multiple of, in bytes. */
  readonly alignmentBytes: number;
}

/** Whether a kernel can see all of a tensor at once. */
export function fitsBinding(tensor: Tensor, limits: BindingLimits): boolean {
  const { largestBytes } = limits;
  return tensor.buffer.bytes <= largestBytes || windowOf(tensor, limits).size <= largestBytes;
}

/**
 * The part to bind, and the tensor as it lies in it.
 * @param label names the work that binds it, for the message
 * @throws EngineError where a kernel cannot see all of it
 */
export function bindTensor(
  tensor: Tensor,
  limits: BindingLimits,
  label: () => string,
): { readonly operand: Operand; readonly binding: Binding } {
  const { dtype, shape, strides, buffer } = tensor;
  if (buffer.bytes <= limits.largestBytes) {
    const binding = { buffer, offset: 0, size: buffer.bytes };
    return { operand: { dtype, shape, strides, offset: tensor.offset }, binding };
  }
  const window = windowOf(tensor, limits);
  if (window.size > limits.largestBytes) {
    throw new EngineError(
      `${label()}: the operand ${dtype}${shapeText(shape)} exceeds the adapter's largest binding of ` +
        `${limits.largestBytes} bytes, and the work cannot be cut to fit. Use smaller operands, or another adapter.`,
    );
  }
  const offset = tensor.offset - window.offset / bytesPerElement[dtype];
  return { operand: { dtype, shape, strides, offset }, binding: { buffer, ...window } };
}

/** The smallest part of its buffer that a tensor can be bound through, in bytes. */
function windowOf(tensor: Tensor, { alignmentBytes }: BindingLimits): { offset: number; size: number } {
  const width = bytesPerElement[tensor.dtype];
  // Blocks of q8 are nine words: a window must not begin within one.
  const alignment = tensor.dtype === 'q8' ? 9 * alignmentBytes : alignmentBytes;
  const start = Math.floor((tensor.offset * width) / alignment) * alignment;
  const end = (tensor.offset + viewExtent(tensor.shape, tensor.strides)) * width;
  return { offset: start, size: Math.min(Math.ceil((end - start) / 16) * 16, tensor.buffer.bytes - start) };
}
