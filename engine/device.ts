import {
  type AdapterTraits,
  type Dtype,
  type Launch,
  type MatrixUnits,
  type Operand,
  type VariantChoices,
  elementCount,
} from '../kernels/index.js';
import type { AdapterSummary } from './adapters.js';
import { type BindingLimits, fitsBinding } from './binding_windows.js';
import { type CommandCounts, CommandQueue } from './commands.js';
import { Dispatcher } from './dispatcher.js';
import { EngineError, ShapeError } from './errors.js';
import { FailureLog } from './failures.js';
import { GpuTimer } from './gpu_timer.js';
import { dtypeOf, needRoom } from './host_data.js';
import { BufferPool, type MemoryUsage, type PooledBuffer } from './memory.js';
import { beginWait } from './patient_polling.js';
import { ProgramCache } from './programs.js';
import { ReadBack } from './read_back.js';
import { Recording } from './recording.js';
import { Scopes } from './scopes.js';
import { shapeText } from './shape.js';
import {
  type HostData,
  type Tensor,
  type TensorData,
  type TensorDevice,
  allocate,
  needSizes,
} from './tensor.js';
import { type Tuning, choicesFor } from './tuning.js';

/** What is known of a device when it is opened. */
export interface DeviceDescription {
  readonly adapter: AdapterSummary;
  readonly info: GPUAdapterInfo;
  readonly traits: AdapterTraits;
  readonly memoryBudgetBytes: number;
  /** Largest part of a buffer that one kernel can see. Larger operands are split. */
  readonly maxBindingBytes: number;
}

/** An open GPU with its memory, its compiled programs and its command queue. */
export class Device implements TensorDevice {
  readonly adapter: AdapterSummary;
  readonly info: GPUAdapterInfo;
  /** Largest part of a buffer that one kernel can see, in bytes. Larger operands are split. */
  readonly maxBindingBytes: number;
  /** Bytes that tensors and waiting buffers may take. */
  readonly memoryBudgetBytes: number;
  private knownTraits: AdapterTraits;
  private tuned: VariantChoices = new Map();
  private readonly bindingLimits: BindingLimits;
  private readonly failures: FailureLog;
  private readonly programs: ProgramCache;
  private readonly queue: CommandQueue;
  private readonly pool: BufferPool;
  private readonly readBack: ReadBack;
  private timer: GpuTimer | undefined;
  private readonly scopes = new Scopes();
  private readonly dispatcher: Dispatcher;
  private turn: Promise<unknown> = Promise.resolve();

  /** @internal Use `openDevice`. */
  constructor(
    readonly gpu: GPUDevice,
    description: DeviceDescription,
  ) {
    this.adapter = description.adapter;
    this.info = description.info;
    this.knownTraits = description.traits;
    this.maxBindingBytes = description.maxBindingBytes;
    this.bindingLimits = {
      largestBytes: description.maxBindingBytes,
      alignmentBytes: Math.max(16, gpu.limits.minStorageBufferOffsetAlignment),
    };
    this.memoryBudgetBytes = description.memoryBudgetBytes;
    this.failures = new FailureLog(
      gpu,
      () => this.dispatcher.lastWork(),
      () => this.dispatcher.discard(),
    );
    this.programs = new ProgramCache(gpu, (label, create, undo) =>
      this.failures.watchValidity(label, create, undo),
    );
    this.queue = new CommandQueue(gpu, this.programs);
    this.dispatcher = new Dispatcher(this.queue, this.programs, this.scopes, this.bindingLimits);
    this.readBack = new ReadBack(gpu, this.queue, this.failures, this.scopes);
    const owner = {
      flush: () => this.queue.flush(),
      forgetBuffer: (buffer: PooledBuffer) => this.programs.forgetBuffer(buffer),
    };
    this.pool = new BufferPool(gpu, this.failures, owner, this.memoryBudgetBytes);
  }

  /** Memory of tensors and waiting buffers, in bytes. */
  get memory(): MemoryUsage {
    return this.pool.usage();
  }

  /** What was sent to the GPU. */
  get counts(): Readonly<CommandCounts> {
    return { ...this.queue.counts };
  }

  /** Programs that were compiled and are kept. */
  get programCount(): number {
    return this.programs.programCount;
  }

  /** Bind groups that are kept. */
  get bindGroupCount(): number {
    return this.programs.bindGroupCount;
  }

  /** What kernels are chosen by: features and limits of the adapter. */
  get traits(): AdapterTraits {
    return this.knownTraits;
  }

  /** @internal Multiplies by units for small matrices from now on, once they were seen to compute rightly. */
  useMatrixUnits(matrixUnits: MatrixUnits): void {
    this.knownTraits = { ...this.knownTraits, matrixUnits };
    this.dispatcher.outdateRecordings();
  }

  /** @internal The variants of kernels that were measured to be the fastest here. */
  get choices(): VariantChoices {
    return this.tuned;
  }

  /**
   * Takes the variants of kernels that were measured to be the fastest here, from now on.
   * @throws EngineError for what was measured on another adapter or with another driver
   */
  tune(tuning: Tuning): void {
    this.tuned = choicesFor(tuning, this);
    this.dispatcher.outdateRecordings();
  }

  /** Starts the counters and the memory's peak anew. */
  resetStatistics(): void {
    this.queue.resetCounts();
    this.pool.resetPeak();
  }

  /**
   * A tensor of host values, dense and row-major. Its type follows the array's.
   * @throws ShapeError when the count does not fit the shape, or for another type of array or shared memory
   */
  tensor(data: HostData, shape: readonly number[]): Tensor {
    const dtype = dtypeOf('tensor', data);
    needSizes('tensor', shape);
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
    this.failures.check();
    this.needOwn([tensor], () => 'write');
    needRoom(tensor, data, start);
    if (data.length === 0 || this.dispatcher.rehearses) return;
    this.dispatcher.needDirect('write');
    this.queue.write(tensor.buffer, (tensor.offset + start) * 4, data);
  }

  /**
   * Reads several tensors with one wait for the GPU.
   * @throws the first error of anything that was recorded before; ShapeError for a tensor of another device
   */
  async readAll(tensors: readonly Tensor[]): Promise<TensorData[]> {
    this.failures.check();
    this.dispatcher.needDirect('read');
    this.needOwn(tensors, () => 'readAll');
    return this.readBack.read(tensors);
  }

  /**
   * Submits what is recorded and reads a dense tensor of 4-byte elements as it is then, while work that is recorded
   * afterwards can run already. What goes wrong meanwhile is left for the next call that throws it: nobody may be waiting.
   * @returns undefined, or values of no meaning, where something went wrong
   * @throws ShapeError for any other tensor, or one of another device
   */
  peek(tensor: Tensor): Promise<TensorData | undefined> {
    this.failures.check();
    this.dispatcher.needDirect('peek');
    this.needOwn([tensor], () => 'peek');
    return this.readBack.peek(tensor);
  }

  /**
   * Compiles what some work dispatches, side by side, so that it need not be compiled one by one when the work is done.
   * @param work records operations as usual; none of them is done, and what its tensors hold means nothing: keep none of them
   */
  async compile(work: () => void): Promise<void> {
    this.failures.check();
    await this.dispatcher.compile(work);
  }

  /**
   * Goes through work without doing it, so that {@link memory} tells what it takes.
   * @param work records operations as usual, and reads nothing; what its tensors hold means nothing: keep none of them
   */
  rehearse(work: () => void): void {
    this.failures.check();
    this.dispatcher.rehearse('rehearse', work);
  }

  /** Starts work that is recorded part by part and can be repeated. Dispose it. */
  newRecording(): Recording {
    return new Recording({
      record: (target, work) => this.dispatcher.record(target, work),
      repeat: (list) => {
        this.failures.check();
        this.dispatcher.repeat(list);
      },
      closeArena: (arena) => this.pool.closeArena(arena),
      generation: () => this.dispatcher.generation,
    });
  }

  /** Submits what is recorded and waits until the GPU has done it. */
  async finish(): Promise<void> {
    this.queue.flush();
    beginWait();
    await this.gpu.queue.onSubmittedWorkDone();
    await this.failures.settle();
  }

  /** Whether the device has a clock of its own to time work by (`timestamp-query`). */
  get hasClock(): boolean {
    return this.gpu.features.has('timestamp-query');
  }

  /**
   * Times work by the device's own clock, alone: what was recorded before is submitted first.
   * @param record records work that fits one submit (about a thousand dispatches) and reads nothing back
   * @returns milliseconds from the begin of the first dispatch to the end of the last
   * @throws EngineError without such a clock, or where the work does not fit one submit
   */
  async timeOnGpu(record: () => void): Promise<number> {
    this.failures.check();
    if (!this.hasClock) {
      throw new EngineError(`${this.adapter.name} has no clock to time work by (feature timestamp-query)`);
    }
    this.timer ??= new GpuTimer(this.gpu, this.queue);
    const elapsedMs = await this.timer.time(record);
    await this.failures.settle();
    return elapsedMs;
  }

  /**
   * Runs `work`; tensors made in it and not returned by it (alone, or in arrays, Sets, Maps and plain objects) are disposed
   * at its end, which for asynchronous work is when its promise settles. Works that overlap in time each have their own
   * scope; in browsers they must not overlap, see {@link exclusively}.
   */
  scope<T>(work: () => T): T {
    return this.scopes.run(work);
  }

  /** Takes tensors out of the scopes they were made in, so that only `dispose` frees them. */
  keep<T extends Tensor>(tensor: T): T {
    this.scopes.release(tensor);
    return tensor;
  }

  /** Runs asynchronous work after whatever else was passed here, so that peaks of memory do not add up. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.turn.then(work);
    this.turn = result.catch(() => undefined);
    return result;
  }

  /**
   * Gives buffers that wait for reuse back to the driver. What tensors and recordings hold stays until they are disposed.
   */
  trim(): void {
    this.pool.trim();
  }

  /** Frees everything. Pending reads fail with DeviceLostError; the process can end. */
  close(): void {
    this.failures.close();
    this.timer?.destroy();
    this.queue.destroy();
    this.gpu.destroy();
  }

  /**
   * @internal Records a launch over tensors that each fit a binding.
   * @throws EngineError where one does not, ShapeError for a tensor of another device
   */
  dispatch(
    build: (operands: readonly Operand[]) => Launch,
    tensors: readonly Tensor[],
    label: () => string,
  ): void {
    this.failures.check();
    this.needOwn(tensors, label);
    this.dispatcher.dispatch(build, tensors, label);
  }

  /** @internal */
  countFlops(flops: number): void {
    this.dispatcher.countFlops(flops);
  }

  /** @internal Whether a kernel can see all of a tensor at once. */
  fitsBinding(tensor: Tensor): boolean {
    return fitsBinding(tensor, this.bindingLimits);
  }

  /** @internal */
  acquireBuffer(bytes: number, purpose: string): PooledBuffer {
    this.failures.check();
    return this.pool.acquire(bytes, purpose, this.dispatcher.arena);
  }

  /** @internal */
  releaseBuffer(buffer: PooledBuffer): void {
    this.pool.release(buffer);
  }

  /** @internal */
  track(tensor: Tensor): void {
    this.scopes.track(tensor);
  }

  /** WebGPU would report the buffer of another device at some later call. */
  private needOwn(tensors: readonly Tensor[], label: () => string): void {
    const foreign = tensors.find((tensor) => tensor.device !== this);
    if (!foreign) return;
    throw new ShapeError(
      `${label()}: ${foreign.dtype}${shapeText(foreign.shape)} lies on another device; read it and make a tensor here`,
    );
  }
}
