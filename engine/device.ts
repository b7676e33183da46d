import {
  type AdapterTraits,
  type Dtype,
  type Launch,
  type Operand,
  bytesPerElement,
  elementCount,
  launchUnary,
} from '../kernels/index.js';
import { type AdapterOptions, type AdapterSummary, type FoundAdapter, findAdapter } from './adapters.js';
import { type CommandCounts, CommandQueue } from './commands.js';
import { DeviceLostError, EngineError, OutOfMemoryError, ShapeError, ValidationError } from './errors.js';
import { BufferPool, type MemoryUsage, type PooledBuffer } from './memory.js';
import { type Binding, ProgramCache } from './programs.js';
import { ScopeStack } from './scopes.js';
import { shapeText, viewExtent } from './shape.js';
import type { Tensor } from './tensor.js';
import { type TensorData, allocate } from './tensor.js';

export interface DeviceOptions extends AdapterOptions {
  /** Index in `listAdapters()`, part of an adapter's name, or `software`. Default: the first GPU, else the CPU. */
  readonly device?: string;
  /** Bytes that tensors and waiting buffers may take. Default: 70 % of the memory on a software adapter, else no limit. */
  readonly memoryBudgetBytes?: number;
  /** Lowers the adapter's largest binding, to try how larger tensors are split. */
  readonly maxBindingBytes?: number;
}

/** Host values for a new tensor. */
export type HostData = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

const usefulFeatures: readonly string[] = [
  'shader-f16',
  'subgroups',
  'subgroup-size-control',
  'chromium-experimental-subgroup-matrix',
  'timestamp-query',
];

const usefulLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupsPerDimension',
  'minStorageBufferOffsetAlignment',
  'minUniformBufferOffsetAlignment',
] as const;

/** Dawn crashes when an instance is collected before what was made from it, so none ever is. */
const openInstances: GPU[] = [];

/**
 * Opens a WebGPU device: in Node through Dawn, in a browser through `navigator.gpu`.
 * @throws AdapterError that says what there is and what to do
 */
export async function openDevice(options: DeviceOptions = {}): Promise<Device> {
  const found = await findAdapter(options.device, options);
  openInstances.push(found.instance);
  const { adapter } = found;
  const gpu = await adapter.requestDevice({
    label: 'clip4str-engine',
    requiredFeatures: usefulFeatures.filter((feature) => adapter.features.has(feature)) as GPUFeatureName[],
    requiredLimits: Object.fromEntries(usefulLimits.map((name) => [name, adapter.limits[name]])),
  });
  const budget = options.memoryBudgetBytes ?? (await defaultBudgetBytes(found.summary));
  return new Device(gpu, found, budget, options.maxBindingBytes);
}

async function defaultBudgetBytes(adapter: AdapterSummary): Promise<number> {
  if (!adapter.software || adapter.backend === 'browser') return Infinity;
  const { totalmem } = await import('node:os');
  return 0.7 * totalmem();
}

function dtypeOf(data: HostData): Dtype {
  if (data instanceof Float32Array) return 'f32';
  return data instanceof Int32Array ? 'i32' : 'u32';
}

function traitsOf(gpu: GPUDevice, found: FoundAdapter): AdapterTraits {
  const { subgroupMinSize, subgroupMaxSize } = found.adapter.info;
  const fixedSubgroups = gpu.features.has('subgroups') && subgroupMinSize === subgroupMaxSize;
  return {
    subgroupSize: fixedSubgroups ? subgroupMinSize : 0,
    f16: gpu.features.has('shader-f16'),
    software: found.summary.software,
    maxWorkgroupInvocations: gpu.limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupStorageBytes: gpu.limits.maxComputeWorkgroupStorageSize,
    maxWorkgroupsPerDimension: gpu.limits.maxComputeWorkgroupsPerDimension,
  };
}

/** An open GPU with its memory, its compiled programs and its command queue. */
export class Device {
  readonly adapter: AdapterSummary;
  readonly info: GPUAdapterInfo;
  readonly traits: AdapterTraits;
  /** Largest part of a buffer that one kernel can see, in bytes. Larger operands are split. */
  readonly maxBindingBytes: number;
  readonly maxBufferBytes: number;
  private readonly programs: ProgramCache;
  private readonly queue: CommandQueue;
  private readonly pool: BufferPool;
  private readonly scopes = new ScopeStack();
  private readonly mappable = new Map<number, GPUBuffer[]>();
  private failure: EngineError | undefined;
  private lastWork: (() => string) | undefined;
  private readonly checks = new Set<Promise<void>>();
  private turn: Promise<unknown> = Promise.resolve();

  /** @internal Use {@link openDevice}. */
  constructor(
    readonly gpu: GPUDevice,
    found: FoundAdapter,
    readonly memoryBudgetBytes: number,
    maxBindingBytes = Infinity,
  ) {
    this.adapter = found.summary;
    this.info = found.adapter.info;
    this.traits = traitsOf(gpu, found);
    this.maxBindingBytes = Math.min(gpu.limits.maxStorageBufferBindingSize, maxBindingBytes);
    this.maxBufferBytes = gpu.limits.maxBufferSize;
    this.programs = new ProgramCache(gpu, (label, create) => this.watch(label, create));
    this.queue = new CommandQueue(gpu, this.programs);
    this.pool = new BufferPool(
      {
        createBuffer: (bytes, purpose) => this.createBuffer(bytes, purpose),
        flush: () => this.queue.flush(),
        forgetBuffer: (buffer) => this.programs.forgetBuffer(buffer),
      },
      this.maxBufferBytes,
      memoryBudgetBytes,
    );
    gpu.addEventListener('uncapturederror', (event) => {
      event.preventDefault();
      this.fail(
        event.error instanceof GPUOutOfMemoryError
          ? new OutOfMemoryError(`the GPU is out of memory: ${event.error.message}`)
          : new ValidationError(event.error.message),
      );
    });
    void gpu.lost.then(({ reason, message }) => {
      const last = this.lastWork === undefined ? '' : ` The last work recorded was ${this.lastWork()}.`;
      this.failure = new DeviceLostError(
        reason === 'destroyed' ? 'the device was closed' : `the GPU device was lost: ${message}.${last}`,
      );
    });
  }

  /** Sums and counters: memory in bytes, and what was sent to the GPU. */
  get memory(): MemoryUsage {
    return this.pool.usage();
  }

  get counts(): Readonly<CommandCounts> {
    return { ...this.queue.counts };
  }

  get programCount(): number {
    return this.programs.programCount;
  }

  get bindGroupCount(): number {
    return this.programs.bindGroupCount;
  }

  /** Starts the counters and the memory's peak anew. */
  resetStatistics(): void {
    this.queue.resetCounts();
    this.pool.resetPeak();
  }

  /**
   * A tensor of host values, dense and row-major. Its type follows the array's.
   * @throws ShapeError when the count does not fit the shape
   */
  tensor(data: HostData, shape: readonly number[]): Tensor {
    const dtype = dtypeOf(data);
    if (data.length !== elementCount(shape)) {
      throw new ShapeError(`tensor: ${data.length} values do not fill ${shapeText(shape)}`);
    }
    const tensor = allocate(this, dtype, shape, 'tensor');
    this.write(tensor, data);
    return tensor;
  }

  /** A tensor with undefined contents, for an operation to fill. */
  empty(dtype: Dtype, shape: readonly number[]): Tensor {
    if (dtype === 'f16' && !this.traits.f16) {
      throw new EngineError(`${this.adapter.name} has no f16 (feature shader-f16); use f32`);
    }
    return allocate(this, dtype, shape, 'empty');
  }

  /** Overwrites a contiguous f32, i32 or u32 tensor with host values, from element `start` on. */
  write(tensor: Tensor, data: HostData, start = 0): void {
    this.check();
    const inside = Number.isInteger(start) && start >= 0 && start + data.length <= tensor.size;
    if (!tensor.contiguous || tensor.dtype !== dtypeOf(data) || !inside) {
      throw new ShapeError(
        `write: ${data.length} ${dtypeOf(data)} values at ${start} do not fit a ${tensor.contiguous ? '' : 'not '}` +
          `contiguous ${tensor.dtype}${shapeText(tensor.shape)}`,
      );
    }
    if (data.length > 0) this.queue.write(tensor.buffer, (tensor.offset + start) * 4, data);
  }

  /**
   * Reads several tensors with one wait for the GPU.
   * @throws the first error of anything that was recorded before
   */
  async readAll(tensors: readonly Tensor[]): Promise<TensorData[]> {
    this.check();
    const dense = this.scopes.run(() => {
      const copies = tensors.map((tensor) => this.denseWords(tensor));
      copies.forEach((copy) => this.scopes.release(copy));
      return copies;
    });
    try {
      return await this.readDense(dense);
    } finally {
      dense.forEach((tensor) => tensor.dispose());
    }
  }

  /** Submits what is recorded and waits until the GPU has done it. */
  async finish(): Promise<void> {
    this.queue.flush();
    await this.gpu.queue.onSubmittedWorkDone();
    await this.settle();
  }

  /** Runs `work`; tensors made in it and not returned by it are disposed at its end. */
  scope<T>(work: () => T): T {
    return this.scopes.run(work);
  }

  /** Takes tensors out of the scopes they were made in, so that only `dispose` frees them. */
  keep<T extends Tensor>(tensor: T): T {
    this.scopes.release(tensor);
    return tensor;
  }

  /** Runs asynchronous work after whatever else was passed here: scopes of two such works must not mingle. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.turn.then(work);
    this.turn = result.catch(() => undefined);
    return result;
  }

  /** Gives buffers that wait for reuse back to the driver. */
  trim(): void {
    this.pool.trim();
  }

  /** Frees everything. Pending reads fail with DeviceLostError; the process can end. */
  close(): void {
    this.failure = new DeviceLostError('the device was closed');
    this.queue.destroy();
    this.gpu.destroy();
  }

  /** @internal Throws what went wrong since the last call; a lost device stays lost. */
  check(): void {
    const failure = this.failure;
    if (!failure) return;
    if (!(failure instanceof DeviceLostError)) this.failure = undefined;
    throw failure;
  }

  /** @internal Records a launch over tensors that each fit a binding. */
  dispatch(
    build: (operands: readonly Operand[]) => Launch,
    tensors: readonly Tensor[],
    label: () => string,
  ): void {
    this.check();
    this.lastWork = label;
    const bound = tensors.map((tensor) => this.bind(tensor));
    const launch = build(bound.map(({ operand }) => operand));
    this.queue.dispatch(
      launch,
      bound.map(({ binding }) => binding),
      label,
    );
  }

  /** @internal Whether a kernel can see all of a tensor at once. */
  fitsBinding(tensor: Tensor): boolean {
    return tensor.buffer.bytes <= this.maxBindingBytes || this.windowOf(tensor).size <= this.maxBindingBytes;
  }

  /** @internal */
  acquireBuffer(bytes: number, purpose: string): PooledBuffer {
    this.check();
    return this.pool.acquire(bytes, purpose);
  }

  /** @internal */
  releaseBuffer(buffer: PooledBuffer): void {
    this.pool.release(buffer);
  }

  /** @internal */
  track(tensor: Tensor): void {
    this.scopes.track(tensor);
  }

  /** A dense copy in 4-byte elements, or another view of the tensor where it is one already. */
  private denseWords(tensor: Tensor): Tensor {
    if (tensor.contiguous && tensor.dtype !== 'f16')
      return tensor.view(tensor.shape, tensor.strides, tensor.offset);
    const copy = allocate(this, tensor.dtype === 'f16' ? 'f32' : tensor.dtype, tensor.shape, 'read');
    if (tensor.size > 0) {
      const build = ([from, to]: readonly Operand[]): Launch => launchUnary('copy', from!, to!, this.traits);
      this.dispatch(build, [tensor, copy], () => `read ${tensor.dtype}${shapeText(tensor.shape)}`);
    }
    return copy;
  }

  private async readDense(tensors: readonly Tensor[]): Promise<TensorData[]> {
    const ranges = tensors.map((tensor) => ({
      buffer: tensor.buffer,
      offset: tensor.offset * 4,
      size: tensor.size * 4,
    }));
    const bytes = Math.max(
      4,
      ranges.reduce((total, range) => total + range.size, 0),
    );
    const capacity = Math.min(2 ** Math.ceil(Math.log2(bytes)), Math.max(bytes, this.maxBufferBytes));
    const waiting = this.mappable.get(capacity)?.pop();
    const mappable = waiting ?? this.createMappable(capacity);
    this.queue.copyToMappable(
      ranges.filter((range) => range.size > 0),
      mappable,
    );
    try {
      await mappable.mapAsync(GPUMapMode.READ, 0, bytes);
    } catch (error) {
      await this.settle();
      throw new DeviceLostError(
        `reading back failed: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    const mapped = mappable.getMappedRange(0, bytes);
    let at = 0;
    const results = tensors.map((tensor) => {
      const part = mapped.slice(at, at + tensor.size * 4);
      at += tensor.size * 4;
      if (tensor.dtype === 'i32') return new Int32Array(part);
      return tensor.dtype === 'u32' ? new Uint32Array(part) : new Float32Array(part);
    });
    mappable.unmap();
    this.mappable.set(capacity, [...(this.mappable.get(capacity) ?? []), mappable]);
    await this.settle();
    return results;
  }

  private bind(tensor: Tensor): { operand: Operand; binding: Binding } {
    const { dtype, shape, strides, buffer } = tensor;
    if (buffer.bytes <= this.maxBindingBytes) {
      const binding = { buffer, offset: 0, size: buffer.bytes };
      return { operand: { dtype, shape, strides, offset: tensor.offset }, binding };
    }
    const window = this.windowOf(tensor);
    const offset = tensor.offset - window.offset / bytesPerElement[dtype];
    return { operand: { dtype, shape, strides, offset }, binding: { buffer, ...window } };
  }

  /** The smallest part of its buffer that a tensor can be bound through, in bytes. */
  private windowOf(tensor: Tensor): { offset: number; size: number } {
    const width = bytesPerElement[tensor.dtype];
    const alignment = Math.max(16, this.gpu.limits.minStorageBufferOffsetAlignment);
    const start = Math.floor((tensor.offset * width) / alignment) * alignment;
    const end = (tensor.offset + viewExtent(tensor.shape, tensor.strides)) * width;
    return { offset: start, size: Math.min(Math.ceil((end - start) / 16) * 16, tensor.buffer.bytes - start) };
  }

  private createBuffer(size: number, purpose: string): GPUBuffer {
    this.gpu.pushErrorScope('out-of-memory');
    const buffer = this.watch(purpose, () =>
      this.gpu.createBuffer({
        size,
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
      }),
    );
    const hint = 'Use a smaller batch or precision f16.';
    this.report(
      this.gpu.popErrorScope(),
      () => new OutOfMemoryError(`${purpose}: the GPU is out of memory. ${hint}`),
    );
    return buffer;
  }

  private createMappable(size: number): GPUBuffer {
    return this.gpu.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  }

  /** Makes something whose errors arrive later; they are reported under the label. */
  private watch<T>(label: string, create: () => T): T {
    this.gpu.pushErrorScope('validation');
    const made = create();
    this.report(this.gpu.popErrorScope(), (message) => new ValidationError(`${label}: ${message}`));
    return made;
  }

  private report(scope: Promise<GPUError | null>, describe: (message: string) => EngineError): void {
    const check: Promise<void> = scope
      .then((error) => {
        // The cause beats the errors that follow from it, which name no kernel.
        if (error && !(this.failure instanceof DeviceLostError)) this.failure = describe(error.message);
      })
      .catch(ignoreLostDevice)
      .finally(() => this.checks.delete(check));
    this.checks.add(check);
  }

  /** Waits for outstanding error reports, then throws the first failure. */
  private async settle(): Promise<void> {
    await Promise.all(this.checks);
    this.check();
  }

  private fail(error: EngineError): void {
    this.failure ??= error;
  }
}

/** A lost device reports itself through `lost`. */
function ignoreLostDevice(): void {}
