/** How fast a model reads, and what that takes. */
import type { Device } from '../../engine/index.js';
import type { Clip4Str } from '../../model/index.js';
import { median, middle } from '../report/middle.js';
import { type StageTimes, hostMsSoFar, timeStages } from './stages.js';

/** Reading one batch, from image files in memory to texts. */
export interface ReadingTimes {
  /** Images at once. */
  readonly batchSize: number;
  /** Milliseconds of the batch: the middle one of the rounds, the least and the most. */
  readonly medianMs: number;
  readonly fastestMs: number;
  readonly slowestMs: number;
  readonly rounds: number;
  readonly imagesPerSecond: number;
  /** Milliseconds of the batch in which the host computes, the middle one of the rounds; the rest it waits. */
  readonly hostMs: number;
  /** By stage, of rounds of their own in which the device is waited for after each: the round of the middle time. */
  readonly stages: Readonly<Record<string, StageTimes>>;
  readonly dispatches: number;
  readonly submits: number;
  readonly readBacks: number;
  /** Looks at whether all texts have ended, while the next steps run. */
  readonly peeks: number;
  /** Floating-point operations of the batch, as the operations' rows count them. */
  readonly flops: number;
  /** Highest sum of all tensors on the device while the batch was read, the model's own among them. */
  readonly peakBytes: number;
}

/** Rounds that count: so many or more, until they have taken so long together, unless one of them takes long. */
const [leastRounds, mostRounds, enoughMs] = [9, 51, 1500];
const [stageRounds, longMs] = [3, 5000];
/** Milliseconds of rounds before them: code that was hardly run is slow. */
const warmUpMs = 500;

/**
 * Times a batch of one image again and again; the first times, in which kernels and code are compiled, do not count.
 * @param image bytes of an image file
 */
export async function timeReading(
  device: Device,
  reader: Clip4Str,
  image: Uint8Array,
  batchSize: number,
): Promise<ReadingTimes> {
  const batch = Array.from({ length: batchSize }, () => image);
  const hostTimes: number[] = [];
  const once = async (): Promise<number> => {
    const [start, hostStart] = [performance.now(), hostMsSoFar()];
    await reader.read(batch, { batchSize });
    hostTimes.push(hostMsSoFar() - hostStart);
    return performance.now() - start;
  };
  for (let spentMs = 0; spentMs < warmUpMs;) spentMs += await once();
  hostTimes.length = 0;
  device.resetStatistics();
  const times = [await once()];
  const { dispatches, submits, readBacks, peeks, flops } = device.counts;
  const { peakBytes } = device.memory;
  const rounds = times[0]! > longMs ? stageRounds : leastRounds;
  let totalMs = times[0]!;
  while (times.length < rounds || (totalMs < enoughMs && times.length < mostRounds)) {
    times.push(await once());
    totalMs += times.at(-1)!;
  }
  const medianMs = median(times);
  const stageTimes: ReadonlyMap<string, StageTimes>[] = [];
  for (let round = 0; round < stageRounds; round++) {
    stageTimes.push(await timeStages(device, reader, image, batchSize));
  }
  const stages = Object.fromEntries(
    [...stageTimes[0]!.keys()].map((stage) => {
      const own = stageTimes.map((round) => round.get(stage)!);
      return [stage, middle(own, ({ ms }) => ms)];
    }),
  );
  return {
    batchSize,
    medianMs,
    fastestMs: Math.min(...times),
    slowestMs: Math.max(...times),
    rounds: times.length,
    imagesPerSecond: (1000 * batchSize) / medianMs,
    hostMs: median(hostTimes),
    stages,
    dispatches,
    submits,
    readBacks,
    peeks,
    flops,
    peakBytes,
  };
}
