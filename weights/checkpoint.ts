/** What every checkpoint format offers. */
import type { StoredArray, StoredDtype } from './dtypes.js';

export type CheckpointFormat = 'safetensors' | 'pytorch' | 'pytorch-legacy' | 'torchscript';

export interface StoredTensor {
  readonly name: string;
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  /** Of the dense tensor. */
  readonly byteLength: number;
}

/** Consecutive elements of a tensor in row-major order. */
export interface F32Chunk {
  readonly elementOffset: number;
  readonly values: Float32Array;
}

/** An open file of named tensors. Nothing but its directory is in memory until a tensor is read. */
export interface Checkpoint {
  /** File name for messages. */
  readonly name: string;
  readonly format: CheckpointFormat;
  /** Tensors of the state dict by their stored names, in stored order. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /**
   * Plain values: `hyper_parameters` of Lightning checkpoints, or the metadata of safetensors files with each
   * value parsed as JSON where it is JSON.
   */
  readonly configuration: Readonly<Record<string, unknown>>;
  /** A tensor as stored, dense and row-major; strided views are made contiguous. */
  read(name: string): Promise<StoredArray>;
  /** A tensor of any kind converted to single precision, dense and row-major. */
  readF32(name: string): Promise<Float32Array>;
  /** As `readF32`, in pieces of at most `maxBytes` (default 8 MiB), so that no tensor need fit in memory. */
  readChunks(name: string, maxBytes?: number): AsyncIterable<F32Chunk>;
  close(): Promise<void>;
}
