import {
  type Device,
  type Dtype,
  type Tensor,
  cast,
  castAll,
  quantize,
  quantizedBlock,
} from '../engine/index.js';
import type { ParameterSource } from '../weights/index.js';

/** How a model's matrices are stored on the device. `int8`: those of linear layers as q8, others in f16 where it has that. */
export const precisions = ['f32', 'f16', 'int8'] as const;
export type Precision = (typeof precisions)[number];

/** Bytes uploaded between waits, so that the driver's staging memory stays small. */
const uploadWindowBytes = 64 << 20;

/** Tables of positions are added, not multiplied: they are small and stay in f32. */
const positionTable = /(positional_embedding|pos_embed|pos_queries|class_embedding)$/;

function isMatrix(name: string, shape: readonly number[]): boolean {
  return shape.length >= 2 && !positionTable.test(name);
}

/** Weights of linear layers with rows of whole blocks; tables of embeddings are looked up, not multiplied. */
function isQuantizable(name: string, shape: readonly number[]): boolean {
  const isLinear = /(?<!embedding)\.weight$|\.in_proj_weight$/.test(name);
  return isLinear && shape.length === 2 && shape[1]! % quantizedBlock === 0;
}

/** CLIP's and a ladder's, `[width, embed width]`: the only weights whose columns are outputs. */
const projection = /(^|\.)(proj|text_projection)$/;

function storedAs(
  name: string,
  shape: readonly number[],
  precision: Precision,
  hasHalves: boolean,
): 'f32' | 'f16' | 'q8' {
  if (precision === 'int8' && isQuantizable(name, shape)) return 'q8';
  const halves = precision === 'f16' || (precision === 'int8' && hasHalves);
  return halves && isMatrix(name, shape) ? 'f16' : 'f32';
}

/** The parameters of a model on a device, by their canonical names. */
export class Parameters {
  private copies: ReadonlyMap<string, Tensor> | undefined;

  private constructor(private readonly tensors: ReadonlyMap<string, Tensor>) {}

  /**
   * Makes room for every parameter of a source, for {@link upload} to fill.
   * Vectors and position tables are f32 in every precision.
   * @param turned whether projections lie by columns, as the weights of linear layers do: products by them need no program of
   *   their own then. Optimizers do not take such tensors
   */
  static allocate(
    device: Device,
    source: ParameterSource,
    precision: Precision,
    { turned }: { turned: boolean },
  ): Parameters {
    const tensors = new Map<string, Tensor>();
    try {
      for (const [name, { shape }] of source.parameters) {
        const dtype = storedAs(name, shape, precision, device.traits.f16);
        tensors.set(
          name,
          turned && projection.test(name)
            ? emptyByColumns(device, dtype, shape)
            : device.keep(device.empty(dtype, shape)),
        );
      }
    } catch (error) {
      for (const tensor of tensors.values()) tensor.dispose();
      throw error;
    }
    return new Parameters(tensors);
  }

  /** {@link allocate} and {@link upload}. */
  static async load(
    device: Device,
    source: ParameterSource,
    precision: Precision,
    onProgress?: (doneBytes: number, totalBytes: number) => void,
  ): Promise<Parameters> {
    const parameters = Parameters.allocate(device, source, precision, { turned: false });
    try {
      await parameters.upload(device, source, onProgress);
    } catch (error) {
      parameters.dispose();
      throw error;
    }
    return parameters;
  }

  /**
   * Uploads every parameter, one after another and in pieces, so that the host never holds more than a piece,
   * or than one matrix that is quantised or turned.
   * @param onProgress told of the bytes uploaded so far and in all (as f32)
   */
  async upload(
    device: Device,
    source: ParameterSource,
    onProgress: (doneBytes: number, totalBytes: number) => void = () => {},
  ): Promise<void> {
    const totalBytes = 4 * this.count;
    let doneBytes = 0;
    let waitingBytes = 0;
    for (const [name, tensor] of this.tensors) {
      for await (const { elementOffset, values } of chunksOf(source, name, tensor)) {
        writeValues(device, tensor, values as Float32Array<ArrayBuffer>, elementOffset);
        doneBytes += 4 * values.length;
        waitingBytes += 4 * values.length;
        if (waitingBytes >= uploadWindowBytes) {
          await device.finish();
          waitingBytes = 0;
        }
      }
      onProgress(doneBytes, totalBytes);
    }
    await device.finish();
  }

  /** @throws Error for a name that the model should have: parameters were checked before loading. */
  get(name: string): Tensor {
    const tensor = this.copies?.get(name) ?? this.tensors.get(name);
    if (!tensor) throw new Error(`parameter ${name} was not loaded`);
    return tensor;
  }

  /**
   * Runs work that computes with f16 copies of the matrices, through which gradients reach the f32 originals. Works
   * must not overlap.
   */
  withHalfCopies<T>(work: () => T): T {
    const wide = [...this.tensors].filter(
      ([name, { dtype, shape }]) => dtype === 'f32' && isMatrix(name, shape),
    );
    const halves = castAll(
      wide.map(([, tensor]) => tensor),
      'f16',
    );
    const copies = new Map(wide.map(([name, { device }], i) => [name, device.keep(halves[i]!)]));
    this.copies = copies;
    const end = (): void => {
      this.copies = undefined;
      for (const copy of copies.values()) copy.dispose();
    };
    let result: T;
    try {
      result = work();
    } catch (error) {
      end();
      throw error;
    }
    if (result instanceof Promise) return result.finally(end) as T;
    end();
    return result;
  }

  /** Names and tensors, in the order of the file. */
  entries(): IterableIterator<[string, Tensor]> {
    return this.tensors.entries();
  }

  /** Bytes of all parameters on the device. */
  get bytes(): number {
    return [...this.tensors.values()].reduce((total, tensor) => total + tensor.bytes, 0);
  }

  get count(): number {
    return [...this.tensors.values()].reduce((total, tensor) => total + tensor.size, 0);
  }

  /** What recorded readings use stays until their model is disposed. */
  dispose(): void {
    for (const tensor of this.tensors.values()) tensor.dispose();
  }
}

function emptyByColumns(device: Device, dtype: Dtype, [rows, columns]: readonly number[]): Tensor {
  return device.scope(() => device.keep(device.empty(dtype, [columns!, rows!]).transpose()));
}

/**
 * Pieces of a parameter as they lie in its memory. One that is quantised comes whole, since pieces may end within a block, and
 * one that lies by columns.
 */
async function* chunksOf(
  source: ParameterSource,
  name: string,
  { dtype, contiguous, shape }: Tensor,
): AsyncGenerator<{ elementOffset: number; values: Float32Array }> {
  if (!contiguous) yield { elementOffset: 0, values: byColumns(await source.readF32(name), shape) };
  else if (dtype === 'q8') yield { elementOffset: 0, values: await source.readF32(name) };
  else yield* source.readChunks(name);
}

/** A matrix, column after column. */
function byColumns(values: Float32Array, [rows, columns]: readonly number[]): Float32Array {
  const turned = new Float32Array(values.length);
  for (let row = 0; row < rows!; row++) {
    for (let column = 0; column < columns!; column++) {
      turned[column * rows! + row] = values[row * columns! + column]!;
    }
  }
  return turned;
}

function writeValues(device: Device, tensor: Tensor, values: Float32Array<ArrayBuffer>, start: number): void {
  device.scope(() => {
    const memory = tensor.contiguous ? tensor : tensor.transpose();
    if (tensor.dtype === 'f32') {
      device.write(memory, values, start);
      return;
    }
    const target = memory.reshape([tensor.size]).slice(0, start, start + values.length);
    const uploaded = device.tensor(values, [values.length]);
    if (tensor.dtype === 'q8') quantize(uploaded, target);
    else cast(uploaded, 'f16', target);
  });
}
