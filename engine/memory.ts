/**
 * Device memory: buffers are handed out from a pool of size classes and taken back when their last tensor goes,
 * so that a steady workload allocates nothing. Live, pooled and peak bytes are always known.
 */
import { OutOfMemoryError } from './errors.js';
import type { FailureLog } from './failures.js';

/** A buffer of the pool. `id` stays with the buffer, for cache keys. */
export interface PooledBuffer {
  readonly id: number;
  readonly gpu: GPUBuffer;
  readonly bytes: number;
  /** Number of the last recorded batch that uses it, so that a write knows whether it must wait for it. */
  lastBatch: number;
  /** Grows with every write, so that what was kept of its contents can be told from what came after. */
  version: number;
  /** Where it goes when its last tensor goes, instead of back to the pool. */
  arena: Arena | undefined;
}

/** Buffers that stay together, so that work over them can be repeated. They count as live until the arena is closed. */
export interface Arena {
  readonly free: FreeBuffers;
  readonly buffers: Set<PooledBuffer>;
}

/**
 * Buffers that wait for reuse, by their bytes, the oldest last. It is taken first, whatever the order in which they came back:
 * work that is done again gets the buffers that it had, and with them its bind groups.
 */
type FreeBuffers = Map<number, PooledBuffer[]>;

export interface MemoryUsage {
  /** Bytes held by tensors and recordings now. */
  readonly liveBytes: number;
  /** Bytes of buffers that wait for reuse. */
  readonly pooledBytes: number;
  /** Highest `liveBytes` since the device was opened or {@link Device.resetStatistics}. */
  readonly peakBytes: number;
  readonly buffers: number;
}

/** What the pool needs of the device. */
interface PoolOwner {
  /** Submits what is recorded: a buffer may not be destroyed before the commands that use it are submitted. */
  flush(): void;
  /** Forgets everything kept about a buffer that is about to be destroyed. */
  forgetBuffer(buffer: PooledBuffer): void;
}

const smallestBytes = 256;
const coarseBytes = 65_536;

/** What may be pooled beyond the largest need so far before the pool is emptied: sizes that never come back pile up. */
const spareBytes = 64 << 20;

/** Size class of an allocation: a multiple of 256 bytes, of a quarter of its power of two, or of 64 KiB for large ones. */
function sizeClassBytes(bytes: number): number {
  if (bytes <= smallestBytes) return smallestBytes;
  if (bytes >= 8 * coarseBytes) return Math.ceil(bytes / coarseBytes) * coarseBytes;
  const step = 2 ** Math.max(8, Math.floor(Math.log2(bytes - 1)) - 2);
  return Math.ceil(bytes / step) * step;
}

export class BufferPool {
  private readonly free: FreeBuffers = new Map();
  private nextId = 1;
  private liveBytes = 0;
  private pooledBytes = 0;
  private peakBytes = 0;
  private liveBuffers = 0;
  private readonly faulty = new WeakSet<GPUBuffer>();

  constructor(
    private readonly gpu: GPUDevice,
    private readonly failures: FailureLog,
    private readonly owner: PoolOwner,
    private readonly budgetBytes: number,
  ) {}

  /**
   * A buffer of at least `bytes` bytes with whatever was in it.
   * @param purpose operation and shape, for the message
   * @param arena whose waiting buffers come first, and which the buffer belongs to from now on
   * @throws OutOfMemoryError beyond the largest buffer or the budget
   */
  acquire(bytes: number, purpose: string, arena?: Arena): PooledBuffer {
    const size = sizeClassBytes(bytes);
    const waiting = arena?.free.get(size)?.pop();
    if (waiting) return waiting;
    const buffer = this.free.get(size)?.pop();
    if (buffer) this.pooledBytes -= size;
    else this.reserve(size, purpose);
    const acquired = buffer ?? {
      id: this.nextId++,
      gpu: this.create(size, purpose),
      bytes: size,
      lastBatch: 0,
      version: 0,
      arena: undefined,
    };
    acquired.arena = arena;
    arena?.buffers.add(acquired);
    this.liveBytes += size;
    this.liveBuffers++;
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes);
    return acquired;
  }

  release(buffer: PooledBuffer): void {
    if (buffer.arena) {
      addFree(buffer.arena.free, buffer);
      return;
    }
    this.liveBytes -= buffer.bytes;
    this.liveBuffers--;
    if (this.faulty.has(buffer.gpu)) {
      this.owner.forgetBuffer(buffer);
      return;
    }
    this.pooledBytes += buffer.bytes;
    addFree(this.free, buffer);
  }

  /** Gives the buffers of an arena back; those that tensors lie in follow when these go. */
  closeArena(arena: Arena): void {
    for (const buffer of arena.buffers) buffer.arena = undefined;
    for (const list of arena.free.values()) list.forEach((buffer) => this.release(buffer));
    arena.free.clear();
    arena.buffers.clear();
  }

  /** Gives all waiting buffers back to the driver. */
  trim(): void {
    if (this.pooledBytes === 0) return;
    this.owner.flush();
    for (const list of this.free.values()) {
      for (const buffer of list) {
        this.owner.forgetBuffer(buffer);
        buffer.gpu.destroy();
      }
    }
    this.free.clear();
    this.pooledBytes = 0;
  }

  usage(): MemoryUsage {
    const { liveBytes, pooledBytes, peakBytes, liveBuffers } = this;
    return { liveBytes, pooledBytes, peakBytes, buffers: liveBuffers };
  }

  resetPeak(): void {
    this.peakBytes = this.liveBytes;
  }

  private reserve(size: number, purpose: string): void {
    const { maxBufferSize } = this.gpu.limits;
    if (size > maxBufferSize) {
      throw new OutOfMemoryError(
        `${purpose}: needs a buffer of ${megabytes(size)}; this adapter's largest is ${megabytes(maxBufferSize)}. ` +
          'Use a smaller batch, or precision f16.',
      );
    }
    if (this.liveBytes + this.pooledBytes + size > 2 * Math.max(this.peakBytes, size) + spareBytes)
      this.trim();
    if (this.liveBytes + this.pooledBytes + size <= this.budgetBytes) return;
    this.trim();
    if (this.liveBytes + size > this.budgetBytes) {
      throw new OutOfMemoryError(
        `${purpose}: needs ${megabytes(size)} beside ${megabytes(this.liveBytes)} in use; the memory budget is ` +
          `${megabytes(this.budgetBytes)}. Use a smaller batch, precision f16, or a larger budget (memoryBudgetBytes).`,
      );
    }
  }

  private create(size: number, purpose: string): GPUBuffer {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const make = (): GPUBuffer => this.gpu.createBuffer({ size, usage });
    const undo = (): void => this.markFaulty(buffer);
    const watched = (): GPUBuffer => this.failures.watchValidity(purpose, make, undo);
    const buffer = this.failures.watchMemory(purpose, watched, undo);
    return buffer;
  }

  /**
   * Keeps a buffer that the driver could not make from being handed out again, also where it waits in the pool; those of an
   * arena go when it closes.
   */
  private markFaulty(gpu: GPUBuffer): void {
    this.faulty.add(gpu);
    for (const list of this.free.values()) {
      const at = list.findIndex((buffer) => buffer.gpu === gpu);
      if (at < 0) continue;
      const [buffer] = list.splice(at, 1) as [PooledBuffer];
      this.pooledBytes -= buffer.bytes;
      this.owner.forgetBuffer(buffer);
    }
  }
}

function addFree(free: FreeBuffers, buffer: PooledBuffer): void {
  const list = free.get(buffer.bytes);
  if (!list) {
    free.set(buffer.bytes, [buffer]);
    return;
  }
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]!.id > buffer.id) low = middle + 1;
    else high = middle;
  }
  list.splice(low, 0, buffer);
}

function megabytes(bytes: number): string {
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${bytes} bytes`;
}
