/** Times of work on a device, in the way that is truthful there. */
import { type Device, measurePeakFlops } from '../../engine/index.js';
import { launchMultiplyAdd, multiplyAddWorkgroup } from '../../kernels/index.js';

export type Clock = 'device' | 'host';

/** Dispatches that surely fit one submit. */
export const mostDispatches = 500;
/** Shares by which the device's clock may differ from the host's before it is not believed. */
const clockTolerance = 0.15;

export class Stopwatch {
  private constructor(
    private readonly device: Device,
    readonly clock: Clock,
  ) {}

  /** Compares the device's clock, where it has one, with the host's on work that takes long enough to see. */
  static async open(device: Device): Promise<Stopwatch> {
    if (!device.hasClock) return new Stopwatch(device, 'host');
    const peak = await measurePeakFlops(device);
    const believable = await device.scope(async () => {
      const workgroup = multiplyAddWorkgroup(device.traits);
      const result = device.empty('f32', [workgroup * 256]);
      // About 50 ms, whatever part of the device so many workgroups fill.
      const rounds = Math.max(1, Math.round((0.05 * peak) / (2 * 4 * 64 * result.size)));
      const record = (): void =>
        device.dispatch(
          ([operand]) =>
            launchMultiplyAdd({ result: operand!, rounds, factor: 0.999, term: 1e-3 }, device.traits),
          [result],
          () => 'clock check',
        );
      record();
      await device.finish();
      const start = performance.now();
      const deviceMs = await device.timeOnGpu(record);
      const hostMs = performance.now() - start;
      return Math.abs(deviceMs - hostMs) <= clockTolerance * hostMs;
    });
    return new Stopwatch(device, believable ? 'device' : 'host');
  }

  /**
   * Milliseconds of one time of some work by the clock that is believed.
   * @param record records the work once
   * @param times how often it is done in one go; all of it must fit one submit where the clock is the device's
   */
  async timeMs(record: () => void, times: number): Promise<number> {
    if (this.clock === 'host') return this.hostMs(record, times);
    return (await this.device.timeOnGpu(() => repeat(record, times))) / times;
  }

  /** Likewise by the host's clock, from before the first is recorded until the last is done. */
  async hostMs(record: () => void, times: number): Promise<number> {
    await this.device.finish();
    const start = performance.now();
    repeat(record, times);
    await this.device.finish();
    return (performance.now() - start) / times;
  }
}

function repeat(record: () => void, times: number): void {
  for (let time = 0; time < times; time++) record();
}

/** Bytes that the two buffers of the measured copy have together, at most. */
const copyBytes = { software: 128 << 20, gpu: 1 << 30 };

/** Bytes a second, read and written, that a copy between two large buffers reaches: the fastest of a few. */
export async function measurePeakBytes(device: Device, attempts = 5): Promise<number> {
  const { gpu, traits } = device;
  const wanted = copyBytes[traits.software ? 'software' : 'gpu'];
  const size = Math.min(wanted / 2, gpu.limits.maxBufferSize, device.memoryBudgetBytes / 4);
  const bytes = Math.floor(size / 4) * 4;
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const [from, to] = [0, 1].map(() => gpu.createBuffer({ label: 'copy', size: bytes, usage }));
  try {
    let best = 0;
    for (let attempt = -1; attempt < attempts; attempt++) {
      await device.finish();
      const encoder = gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(from!, 0, to!, 0, bytes);
      const commands = encoder.finish();
      const start = performance.now();
      gpu.queue.submit([commands]);
      await device.finish();
      // The first one touches the memory for the first time.
      if (attempt >= 0) best = Math.max(best, (2 * bytes) / (performance.now() - start));
    }
    return best * 1000;
  } finally {
    from!.destroy();
    to!.destroy();
  }
}
