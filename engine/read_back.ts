import type { CommandQueue } from './commands.js';
import { DeviceLostError } from './errors.js';
import type { FailureLog } from './failures.js';
import type { Tensor, TensorData } from './tensor.js';

/** Larger mappable buffers are given back at once instead of kept for the next reading. */
const largestKeptBytes = 16 << 20;

/** Brings tensors to the host through buffers that it can map. */
export class ReadBack {
  private readonly kept = new Map<number, GPUBuffer[]>();

  constructor(
    private readonly gpu: GPUDevice,
    private readonly queue: CommandQueue,
    private readonly failures: FailureLog,
    private readonly maxBufferBytes: number,
  ) {}

  /** Reads dense tensors of 4-byte elements with one wait. */
  async read(
    tensors: readonly Tensor[],
    counted: 'readBacks' | 'peeks' = 'readBacks',
  ): Promise<TensorData[]> {
    const bytes = Math.max(
      4,
      tensors.reduce((total, tensor) => total + tensor.size * 4, 0),
    );
    const capacity = Math.min(2 ** Math.ceil(Math.log2(bytes)), Math.max(bytes, this.maxBufferBytes));
    const mappable = this.kept.get(capacity)?.pop() ?? this.create(capacity);
    const ranges = tensors.map(({ buffer, offset, size }) => ({
      buffer,
      offset: offset * 4,
      size: size * 4,
    }));
    this.queue.copyToMappable(
      ranges.filter((range) => range.size > 0),
      mappable,
      counted,
    );
    try {
      await mappable.mapAsync(GPUMapMode.READ, 0, bytes);
    } catch (error) {
      await this.failures.settle();
      const reason = error instanceof Error ? error.message : String(error);
      throw new DeviceLostError(`reading back failed: ${reason}`);
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
    this.giveBack(mappable, capacity);
    await this.failures.settle();
    return results;
  }

  private create(size: number): GPUBuffer {
    return this.failures.watchMemory(`reading back ${size} bytes`, () =>
      this.gpu.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST }),
    );
  }

  private giveBack(mappable: GPUBuffer, capacity: number): void {
    if (capacity > largestKeptBytes) {
      mappable.destroy();
      return;
    }
    const list = this.kept.get(capacity);
    if (list) list.push(mappable);
    else this.kept.set(capacity, [mappable]);
  }
}
