/** Arrays of the host, and the element types that they stand for. */
import type { Dtype } from '../kernels/index.js';
import { ShapeError } from './errors.js';
import { shapeText } from './shape.js';
import type { HostData, Tensor } from './tensor.js';

const hostDtypes: Readonly<Record<string, Dtype>> = {
  Float32Array: 'f32',
  Int32Array: 'i32',
  Uint32Array: 'u32',
};

/** What elements are brought to the host as: f16 only after it was made f32, q8 never. */
export const hostArrays = {
  f32: Float32Array,
  f16: Float32Array,
  q8: Float32Array,
  i32: Int32Array,
  u32: Uint32Array,
} as const;

/**
 * The type of host values, told by tags, which hold for arrays of other realms too.
 * @throws ShapeError for other arrays, and for shared memory, which Dawn crashes on
 */
export function dtypeOf(operation: string, data: HostData): Dtype {
  const tagOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);
  const dtype = hostDtypes[tagOf(data)];
  const shared = dtype !== undefined && tagOf(data.buffer) === 'SharedArrayBuffer';
  if (dtype === undefined || shared) {
    throw new ShapeError(
      `${operation}: the values are ${shared ? 'in a SharedArrayBuffer' : `of type ${tagOf(data)}`}; ` +
        'expected a Float32Array, Int32Array or Uint32Array in memory of its own. Copy them into one first.',
    );
  }
  return dtype;
}

/** @throws ShapeError unless the values fit a contiguous tensor of their type, from element `start` on */
export function needRoom(tensor: Tensor, data: HostData, start: number): void {
  const dtype = dtypeOf('write', data);
  const inside = Number.isInteger(start) && start >= 0 && start + data.length <= tensor.size;
  if (tensor.contiguous && tensor.dtype === dtype && inside) return;
  throw new ShapeError(
    `write: ${data.length} ${dtype} values at ${start} do not fit a ${tensor.contiguous ? '' : 'not '}` +
      `contiguous ${tensor.dtype}${shapeText(tensor.shape)}`,
  );
}
