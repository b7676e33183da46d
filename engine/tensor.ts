/** Tensors: a shape and strides over a shared, reference-counted buffer. */
import {
  type AdapterTraits,
  type Dtype,
  type Launch,
  type Operand,
  type VariantChoices,
  bytesPerElement,
  elementCount,
  quantizedBlock,
} from '../kernels/index.js';
import { DisposedError, ShapeError } from './errors.js';
import { GraphNode, type ViewStep, isRecording } from './graph.js';
import type { PooledBuffer } from './memory.js';
import { contiguousStrides, isContiguous, reshapeStrides, resolveAxis, shapeText } from './shape.js';

/** Values read back from a tensor: f32 and f16 give floats. */
export type TensorData = Float32Array | Int32Array | Uint32Array;

/** Host values for a new tensor. */
export type HostData = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** What tensors and operations need of the device they are on; documented at `Device`. */
export interface TensorDevice {
  readonly traits: AdapterTraits;
  /** @internal */
  readonly choices: VariantChoices;
  readonly maxBindingBytes: number;
  tensor(data: HostData, shape: readonly number[]): Tensor;
  empty(dtype: Dtype, shape: readonly number[]): Tensor;
  write(tensor: Tensor, data: HostData, start?: number): void;
  readAll(tensors: readonly Tensor[]): Promise<TensorData[]>;
  scope<T>(work: () => T): T;
  /** @internal */
  dispatch(
    build: (operands: readonly Operand[]) => Launch,
    tensors: readonly Tensor[],
    label: () => string,
  ): void;
  /** @internal */
  fitsBinding(tensor: Tensor): boolean;
  /** @internal */
  countFlops(flops: number): void;
  /** @internal */
  acquireBuffer(bytes: number, purpose: string): PooledBuffer;
  /** @internal */
  releaseBuffer(buffer: PooledBuffer): void;
  /** @internal */
  track(tensor: Tensor): void;
  /** Takes a tensor out of the scopes it was made in. */
  keep<T extends Tensor>(tensor: T): T;
}

/** A buffer of the pool with the number of tensors that lie in it. */
export class Storage {
  private references = 1;

  constructor(
    readonly device: TensorDevice,
    readonly buffer: PooledBuffer,
  ) {}

  retain(): this {
    this.references++;
    return this;
  }

  get shared(): boolean {
    return this.references > 1;
  }

  release(): void {
    this.references--;
    if (this.references === 0) this.device.releaseBuffer(this.buffer);
  }
}

/**
 * An array on the GPU. Views (`reshape`, `slice`, `transpose`, …) share its memory and cost nothing. Memory goes
 * back when the tensor and all of its views are disposed, by hand or by the scope they were made in
 * ({@link TensorDevice.scope}).
 */
export class Tensor {
  private storage: Storage | undefined;
  private recorded: GraphNode | undefined;

  /** @internal Tensors are made by a device and by operations. */
  constructor(
    storage: Storage,
    readonly dtype: Dtype,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    /** First element within the storage. */
    readonly offset: number,
    node?: GraphNode,
  ) {
    this.storage = storage;
    this.recorded = node?.retain();
    storage.device.track(this);
  }

  get device(): TensorDevice {
    return this.alive().device;
  }

  /** @internal */
  get buffer(): PooledBuffer {
    return this.alive().buffer;
  }

  get rank(): number {
    return this.shape.length;
  }

  get size(): number {
    return elementCount(this.shape);
  }

  /** Bytes of its elements; a view may share them with others. */
  get bytes(): number {
    return this.size * bytesPerElement[this.dtype];
  }

  get contiguous(): boolean {
    return isContiguous(this.shape, this.strides);
  }

  /** @internal Whether other tensors lie in the same memory. */
  get shared(): boolean {
    return this.alive().shared;
  }

  get disposed(): boolean {
    return this.storage === undefined;
  }

  /** Gives this tensor's share of the memory back. Using it afterwards throws DisposedError; disposing again is fine. */
  dispose(): void {
    this.storage?.release();
    this.storage = undefined;
    this.recorded?.release();
    this.recorded = undefined;
  }

  /**
   * The same elements in another shape; one size may be -1. A view where strides allow, else the caller must make
   * the tensor contiguous first.
   * @throws ShapeError where counts differ or only a copy could do it
   */
  reshape(shape: readonly number[]): Tensor {
    const known = shape.reduce((count, size) => (size === -1 ? count : count * size), 1);
    const resolved = shape.map((size) => (size === -1 ? this.size / known : size));
    if (
      elementCount(resolved) !== this.size ||
      resolved.some((size) => !Number.isInteger(size) || size < 0)
    ) {
      throw new ShapeError(
        `reshape: ${shapeText(this.shape)} has ${this.size} elements, ${shapeText(shape)} has not`,
      );
    }
    const strides = reshapeStrides(this.shape, this.strides, resolved);
    if (!strides) {
      throw new ShapeError(
        `reshape: ${shapeText(this.shape)} with strides ${shapeText(this.strides)} is no view of ${shapeText(resolved)}; ` +
          'call contiguous() first',
      );
    }
    return this.recordedView({ kind: 'reshape' }, resolved, strides, this.offset);
  }

  /** Elements `start` to `end` (exclusive; negative counts from the end) along one axis. */
  slice(
    axis: number,
    start: number,
    end: number = this.shape[resolveAxis(axis, this.rank, 'slice')]!,
  ): Tensor {
    const d = resolveAxis(axis, this.rank, 'slice');
    const size = this.shape[d]!;
    const [from, to] = [start < 0 ? start + size : start, end < 0 ? end + size : end];
    if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || to > size || from > to) {
      throw new ShapeError(`slice: ${start}..${end} is outside axis ${axis} of ${shapeText(this.shape)}`);
    }
    const shape = this.shape.with(d, to - from);
    const step = { kind: 'slice', axis: d, start: from, end: to } as const;
    return this.recordedView(step, shape, this.strides, this.offset + from * this.strides[d]!);
  }

  /** One entry along an axis, which disappears. */
  select(axis: number, index: number): Tensor {
    const d = resolveAxis(axis, this.rank, 'select');
    const size = this.shape[d]!;
    const at = index < 0 ? index + size : index;
    if (!Number.isInteger(at) || at < 0 || at >= size) {
      throw new ShapeError(`select: index ${index} is outside axis ${axis} of ${shapeText(this.shape)}`);
    }
    const entry = this.slice(d, at, at + 1);
    return entry.recordedView(
      { kind: 'reshape' },
      entry.shape.toSpliced(d, 1),
      entry.strides.toSpliced(d, 1),
      entry.offset,
    );
  }

  /** Dimensions in another order. */
  permute(order: readonly number[]): Tensor {
    const axes = order.map((axis) => resolveAxis(axis, this.rank, 'permute'));
    if (axes.length !== this.rank || new Set(axes).size !== this.rank) {
      throw new ShapeError(
        `permute: ${shapeText(order)} does not order the dimensions of ${shapeText(this.shape)}`,
      );
    }
    return this.recordedView(
      { kind: 'permute', order: axes },
      axes.map((axis) => this.shape[axis]!),
      axes.map((axis) => this.strides[axis]!),
      this.offset,
    );
  }

  /** Two dimensions swapped; the last two unless told. */
  transpose(first = -2, second = -1): Tensor {
    const [a, b] = [resolveAxis(first, this.rank, 'transpose'), resolveAxis(second, this.rank, 'transpose')];
    const order = this.shape.map((_, d) => (d === a ? b : d === b ? a : d));
    return this.permute(order);
  }

  /** Dimensions of size 1 repeated without copying; new ones may be added in front. */
  expand(shape: readonly number[]): Tensor {
    needSizes('expand', shape);
    const missing = shape.length - this.rank;
    const strides = shape.map((size, d) => {
      const own = d < missing ? 1 : this.shape[d - missing]!;
      if (own !== size && own !== 1) {
        throw new ShapeError(`expand: ${shapeText(this.shape)} does not expand to ${shapeText(shape)}`);
      }
      return own === 1 && size !== 1 ? 0 : d < missing ? 0 : this.strides[d - missing]!;
    });
    if (missing < 0)
      throw new ShapeError(`expand: ${shapeText(this.shape)} has more dimensions than ${shapeText(shape)}`);
    return this.recordedView({ kind: 'expand' }, shape, strides, this.offset);
  }

  /** `[batch, tokens, heads * width]` as `[batch, heads, tokens, width]`. */
  splitHeads(heads: number): Tensor {
    const [batch, tokens, width] = this.shape;
    if (this.rank !== 3 || width! % heads !== 0) {
      throw new ShapeError(`splitHeads: ${shapeText(this.shape)} does not split into ${heads} heads`);
    }
    const split = this.reshape([batch!, tokens!, heads, width! / heads]);
    return split.permute([0, 2, 1, 3]);
  }

  /**
   * Waits for the GPU and reads the elements back in row-major order. f16 arrives as f32.
   * @throws DeviceLostError, ValidationError, OutOfMemoryError of anything recorded before
   */
  async read(): Promise<TensorData> {
    const [data] = await this.device.readAll([this]);
    return data!;
  }

  /** @internal How it came about, where gradients are wanted. */
  get node(): GraphNode | undefined {
    return this.recorded;
  }

  /** @internal */
  recordAs(node: GraphNode): this {
    this.recorded = node.retain();
    return this;
  }

  /**
   * Collects gradients for this tensor from now on, or no more: {@link backward} adds them up in `gradient`.
   * @throws ShapeError for integers, or for the result of an operation that is recorded itself
   */
  requireGradient(wanted = true): this {
    this.alive();
    if (this.node && this.node.origin.kind !== 'leaf') {
      throw new ShapeError(
        `requireGradient: ${this.dtype}${shapeText(this.shape)} is the result of ${this.node.name}; detach() it first`,
      );
    }
    if (!wanted) {
      this.recorded?.release();
      this.recorded = undefined;
      return this;
    }
    if (this.dtype !== 'f32' && this.dtype !== 'f16') {
      throw new ShapeError(
        `requireGradient: ${this.dtype}${shapeText(this.shape)} has no gradients; ` +
          (this.dtype === 'q8' ? 'train the floats that it was quantized from' : 'cast it to f32'),
      );
    }
    if (this.node) return this;
    const target = { dtype: this.dtype, shape: this.shape };
    return this.recordAs(new GraphNode('parameter', target, { kind: 'leaf', gradient: undefined }));
  }

  /** Gradient collected so far, of a tensor that requires one. It stays until it is taken. */
  get gradient(): Tensor | undefined {
    const origin = this.node?.origin;
    return origin?.kind === 'leaf' ? origin.gradient : undefined;
  }

  /** Disposes the gradient collected so far. */
  clearGradient(): void {
    const origin = this.node?.origin;
    if (origin?.kind !== 'leaf') return;
    origin.gradient?.dispose();
    origin.gradient = undefined;
  }

  /** The same elements, a constant for gradients. */
  detach(): Tensor {
    return this.view(this.shape, this.strides, this.offset);
  }

  /** @internal A view that gradients do not go through, or that belongs to the given node. */
  view(shape: readonly number[], strides: readonly number[], offset: number, node?: GraphNode): Tensor {
    return new Tensor(this.alive().retain(), this.dtype, shape, strides, offset, node);
  }

  private recordedView(
    step: ViewStep,
    shape: readonly number[],
    strides: readonly number[],
    offset: number,
  ): Tensor {
    const base = isRecording() ? this.node : undefined;
    const target = { dtype: base?.target.dtype ?? this.dtype, shape };
    return this.view(
      shape,
      strides,
      offset,
      base && new GraphNode(step.kind, target, { kind: 'view', base, step }),
    );
  }

  private alive(): Storage {
    if (!this.storage)
      throw new DisposedError(`a tensor ${this.dtype}${shapeText(this.shape)} was used after dispose`);
    return this.storage;
  }
}

/** @internal @throws ShapeError for what is no list of sizes */
export function needSizes(operation: string, shape: readonly number[]): void {
  if (!Array.isArray(shape)) {
    throw new ShapeError(`${operation}: the shape is ${String(shape)}; expected a list of sizes, as [2, 3]`);
  }
  const whole = shape.every((size) => Number.isInteger(size) && size >= 0);
  if (!whole || !Number.isSafeInteger(elementCount(shape))) {
    throw new ShapeError(`${operation}: ${shapeText(shape)} is no shape; expected whole sizes from 0`);
  }
}

/** Makes a dense tensor in fresh memory. @internal */
export function allocate(
  device: TensorDevice,
  dtype: Dtype,
  shape: readonly number[],
  purpose: string,
): Tensor {
  if (!Object.hasOwn(bytesPerElement, dtype)) {
    const known = Object.keys(bytesPerElement).join(', ');
    throw new ShapeError(`${purpose}: unknown type ${JSON.stringify(dtype)}; expected one of ${known}`);
  }
  needSizes(purpose, shape);
  if (dtype === 'q8' && (shape.at(-1) ?? 1) % quantizedBlock !== 0) {
    throw new ShapeError(`${purpose}: q8${shapeText(shape)} does not end in a multiple of ${quantizedBlock}`);
  }
  const bytes = elementCount(shape) * bytesPerElement[dtype];
  const buffer = device.acquireBuffer(bytes, `${purpose} -> ${dtype}${shapeText(shape)}`);
  return new Tensor(new Storage(device, buffer), dtype, shape, contiguousStrides(shape), 0);
}
