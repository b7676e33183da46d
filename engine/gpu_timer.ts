import type { CommandQueue } from './commands.js';
import { EngineError } from './errors.js';

/** Begin and end, 64 bits each, in nanoseconds of the device's clock. */
const queryBytes = 16;

/** Times work by the device's own clock. */
export class GpuTimer {
  private readonly queries: GPUQuerySet;
  private readonly resolved: GPUBuffer;
  private readonly mappable: GPUBuffer;

  constructor(
    gpu: GPUDevice,
    private readonly queue: CommandQueue,
  ) {
    this.queries = gpu.createQuerySet({ type: 'timestamp', count: 2 });
    this.resolved = gpu.createBuffer({
      size: queryBytes,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    this.mappable = gpu.createBuffer({
      size: queryBytes,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
  }

  /**
   * @param record records the work, which must fit one submit and read nothing back
   * @returns milliseconds from the begin of its first dispatch to the end of its last
   * @throws EngineError when it did not fit one submit
   */
  async time(record: () => void): Promise<number> {
    const whole = this.queue.timed(this.queries, record, (encoder) => {
      encoder.resolveQuerySet(this.queries, 0, 2, this.resolved, 0);
      encoder.copyBufferToBuffer(this.resolved, 0, this.mappable, 0, queryBytes);
    });
    if (!whole) throw new EngineError('timeOnGpu: the work does not fit one submit; time less at once');
    await this.mappable.mapAsync(GPUMapMode.READ);
    const [begin, end] = new BigUint64Array(this.mappable.getMappedRange());
    const elapsedMs = Number(end! - begin!) / 1e6;
    this.mappable.unmap();
    return elapsedMs;
  }

  destroy(): void {
    this.queries.destroy();
    this.resolved.destroy();
    this.mappable.destroy();
  }
}
