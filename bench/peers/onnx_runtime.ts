/** The part of ONNX Runtime's JavaScript interface that is used; its packages for the GPU and the CPU share it. */
import { f32FromHalf } from '../../weights/half.js';
import type { OperandValues } from '../kernels/values.js';
import type { Work } from '../kernels/work.js';
import type { OnnxTensor } from './onnx_format.js';
import { onnxLayout } from './onnx_model.js';
import { fromPeer } from './operands.js';
import type { PreparedWork } from './peer.js';

export type OrtData = Float32Array | Uint16Array | Int32Array | BigInt64Array;

export interface OrtTensor {
  readonly data: OrtData;
  dispose(): void;
}

export type OrtTensors = Readonly<Record<string, OrtTensor>>;

export interface OrtSession {
  /** Writes into the tensors of `results`. */
  run(feeds: OrtTensors, results: OrtTensors): Promise<OrtTensors>;
  release(): Promise<void>;
}

export interface Ort {
  readonly InferenceSession: {
    create(model: Uint8Array, options: Readonly<Record<string, unknown>>): Promise<OrtSession>;
  };
  readonly Tensor: {
    new (type: string, data: OrtData, shape: readonly number[]): OrtTensor;
    fromGpuBuffer(
      buffer: GPUBuffer,
      options: { readonly dataType: string; readonly dims: readonly number[] },
    ): OrtTensor;
  };
}

/** Elements of a tensor, new and 0. */
export function emptyData({ type, shape }: OnnxTensor): OrtData {
  const count = shape.reduce((product, size) => product * size, 1);
  if (type === 'int32') return new Int32Array(count);
  if (type === 'int64') return new BigInt64Array(count);
  return type === 'float16' ? new Uint16Array(count) : new Float32Array(count);
}

/** Results by name: f32 for floats and u32 for ids. */
export function plainResults(
  outputs: readonly OnnxTensor[],
  data: Readonly<Record<string, OrtData>>,
): OperandValues {
  return Object.fromEntries(outputs.map(({ name, type }) => [name, plain(type, data[name]!)]));
}

/** Work of which a model was prepared: its results in our layout. */
export function workOf(work: Work, prepared: PreparedWork): PreparedWork {
  return { ...prepared, results: async () => fromPeer(work, onnxLayout, await prepared.results()) };
}

function plain(type: OnnxTensor['type'], data: OrtData): Float32Array | Uint32Array {
  if (data instanceof BigInt64Array) return Uint32Array.from(data, Number);
  if (type === 'int32') return Uint32Array.from(data);
  // Where JavaScript has arrays of halves, the runtime gives those.
  if (type !== 'float16' || !(data instanceof Uint16Array)) return Float32Array.from(data);
  const floats = new Float32Array(data.length);
  f32FromHalf(data, floats);
  return floats;
}
