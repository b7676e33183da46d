/** The benchmark of the kernels: every piece of work, every type and variant, in turns with whoever else does the work. */
import { type Device, measurePeakFlops } from '../../engine/index.js';
import { operandBytes, workCost } from './cost.js';
import { prepareOwnWork } from './own.js';
import { type Sample, referenceSamples } from './reference.js';
import type { UsedWork } from './shapes.js';
import { type Clock, Stopwatch, measurePeakBytes } from './stopwatch.js';
import { type OperandValues, inputValues } from './values.js';
import { type FloatType, type Work, operandsOf } from './work.js';

/** How one runner did one piece of work. */
export interface KernelTimes {
  /** `clip4str-engine`, or the name of a peer. */
  readonly runner: string;
  /** Which of its ways it went. */
  readonly variant: string;
  /** Milliseconds: the middle one of the samples, the least, and how far the middle half of them lies apart, as a share. */
  readonly medianMs: number;
  readonly fastestMs: number;
  readonly spread: number;
  readonly samples: number;
  readonly clock: Clock;
  /** Floating-point operations and bytes a second, and the shares of the device's peaks. */
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly shareOfPeakFlops: number;
  readonly shareOfPeakBytes: number;
  /** Largest difference from double precision over the largest expected value, over a few hundred results. */
  readonly error: number;
}

/** A piece of work, and how it went; or why it did not. */
export interface KernelRow extends UsedWork {
  readonly dtype: FloatType;
  readonly flops: number;
  readonly bytes: number;
  readonly times: readonly KernelTimes[];
  /** Runners that could not, and why. */
  readonly unable: readonly { readonly runner: string; readonly reason: string }[];
}

export interface Peaks {
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
}

export const ownName = 'clip4str-engine';

/** Somebody else who does the same work on the same device. */
export interface Runner {
  readonly name: string;
  readonly version: string;
  readonly computesOn: 'webgpu' | 'cpu';
  /** @throws Error whose message tells why it cannot */
  prepare(work: Work, dtype: FloatType, values: OperandValues): Promise<PreparedRunner>;
}

export interface PreparedRunner {
  /** Where what is timed is not quite the work: what else is in it. */
  readonly note?: string;
  /** Does the work so many times and waits for it. */
  run(times: number): Promise<void>;
  results(): Promise<OperandValues>;
  dispose(): Promise<void>;
}

/** Least milliseconds of one sample, so that starting and waiting do not count. */
const sampleMs = { software: 20, gpu: 5 };
/** Work so long is not sampled as often. */
const longMs = 1000;
const [mostSamples, fewSamples] = [7, 3];

/** Measures what the device reaches at most, and how to take times on it. */
export class KernelBench {
  private constructor(
    private readonly device: Device,
    private readonly stopwatch: Stopwatch,
    readonly peaks: Peaks,
  ) {}

  static async open(device: Device): Promise<KernelBench> {
    const stopwatch = await Stopwatch.open(device);
    const peaks = {
      flopsPerSecond: await measurePeakFlops(device),
      bytesPerSecond: await measurePeakBytes(device),
    };
    return new KernelBench(device, stopwatch, peaks);
  }

  get clock(): Clock {
    return this.stopwatch.clock;
  }

  /** Does one piece of work in every way, in turns, so that a noisy machine troubles all alike. */
  async row(used: UsedWork, dtype: FloatType, peers: readonly Runner[] = []): Promise<KernelRow> {
    const { work } = used;
    const cost = workCost(work, dtype);
    const unable: { runner: string; reason: string }[] = [];
    const row = { ...used, dtype, ...cost };
    const tooLarge = this.tooLarge(work, dtype);
    if (tooLarge !== undefined) {
      return { ...row, times: [], unable: [{ runner: ownName, reason: tooLarge }] };
    }
    const values = inputValues(work, dtype);
    const samples = referenceSamples(work, values);
    const times = await this.device.scope(async () => {
      const entrants = await this.ownEntrants(work, dtype, values, samples);
      try {
        for (const peer of peers) {
          try {
            entrants.push(await peerEntrant(peer, work, dtype, values, samples));
          } catch (error) {
            const reason = error instanceof Error ? error.message : String(error);
            unable.push({ runner: peer.name, reason });
          }
        }
        return await this.timeInTurns(entrants, cost);
      } finally {
        for (const { dispose } of entrants) await dispose?.();
      }
    });
    this.device.trim();
    return { ...row, times, unable };
  }

  private tooLarge(work: Work, dtype: FloatType): string | undefined {
    const { inputs, outputs } = operandsOf(work, dtype);
    const { maxBindingBytes } = this.device;
    const large = Object.entries({ ...inputs, ...outputs }).find(
      ([, operand]) => operandBytes(operand) > maxBindingBytes,
    );
    if (!large) return undefined;
    const [name, operand] = large;
    return (
      `${name} ${operand.dtype}[${operand.shape.join(',')}] exceeds the adapter's largest binding of ` +
      `${maxBindingBytes} bytes; the engine cuts such work into parts`
    );
  }

  private async ownEntrants(
    work: Work,
    dtype: FloatType,
    values: OperandValues,
    samples: readonly Sample[],
  ): Promise<Entrant[]> {
    const { device, stopwatch } = this;
    const own = prepareOwnWork(device, work, dtype, values);
    const names = Object.keys(own.outputs);
    const entrants: Entrant[] = [];
    for (const { name, record } of own.variants) {
      device.resetStatistics();
      record();
      const { dispatches } = device.counts;
      const read = await device.readAll(names.map((output) => own.outputs[output]!));
      const results = Object.fromEntries(names.map((output, i) => [output, read[i]!]));
      entrants.push({
        runner: ownName,
        variant: name,
        clock: stopwatch.clock,
        error: largestError(samples, results),
        timeMs: (times) => stopwatch.timeMs(record, times),
        timesFor: (onceMs) => stopwatch.timesFor(onceMs, dispatches, this.sampleMs),
      });
    }
    return entrants;
  }

  private get sampleMs(): number {
    return sampleMs[this.device.traits.software ? 'software' : 'gpu'];
  }

  private async timeInTurns(
    entrants: readonly Entrant[],
    cost: { readonly flops: number; readonly bytes: number },
  ): Promise<KernelTimes[]> {
    const plans = [];
    for (const entrant of entrants) {
      const onceMs = await entrant.timeMs(1);
      const times = entrant.timesFor?.(onceMs) ?? Math.ceil(this.sampleMs / Math.max(onceMs, 0.01));
      const count = onceMs > longMs ? fewSamples : mostSamples;
      plans.push({ entrant, times: Math.min(times, 1000), count, taken: [] as number[] });
    }
    for (let round = 0; round < mostSamples; round++) {
      for (const { entrant, times, count, taken } of plans) {
        if (taken.length < count) taken.push(await entrant.timeMs(times));
      }
    }
    return plans.map(({ entrant: { runner, variant, clock, error }, taken }) => {
      taken.sort((a, b) => a - b);
      const at = (share: number): number => taken[Math.round(share * (taken.length - 1))]!;
      const medianMs = at(0.5);
      const [flopsPerSecond, bytesPerSecond] = [cost.flops, cost.bytes].map(
        (work) => (1000 * work) / medianMs,
      );
      return {
        runner,
        variant,
        medianMs,
        fastestMs: taken[0]!,
        spread: (at(0.75) - at(0.25)) / medianMs,
        samples: taken.length,
        clock,
        flopsPerSecond: flopsPerSecond!,
        bytesPerSecond: bytesPerSecond!,
        shareOfPeakFlops: flopsPerSecond! / this.peaks.flopsPerSecond,
        shareOfPeakBytes: bytesPerSecond! / this.peaks.bytesPerSecond,
        error,
      };
    });
  }
}

/** Somebody who takes part. */
interface Entrant {
  readonly runner: string;
  readonly variant: string;
  readonly clock: Clock;
  readonly error: number;
  timeMs(times: number): Promise<number>;
  readonly timesFor?: (onceMs: number) => number;
  readonly dispose?: () => Promise<void>;
}

async function peerEntrant(
  peer: Runner,
  work: Work,
  dtype: FloatType,
  values: OperandValues,
  samples: readonly Sample[],
): Promise<Entrant> {
  const prepared = await peer.prepare(work, dtype, values);
  // The first run compiles.
  await prepared.run(1);
  return {
    runner: peer.name,
    variant: [peer.version, prepared.note].filter(Boolean).join('; '),
    clock: 'host',
    error: largestError(samples, await prepared.results()),
    async timeMs(times) {
      const start = performance.now();
      await prepared.run(times);
      return (performance.now() - start) / times;
    },
    dispose: () => prepared.dispose(),
  };
}

/** By each output, since their sizes differ; the worst of them. A result that is no number is infinitely wrong. */
function largestError(
  samples: readonly Sample[],
  results: Readonly<Record<string, ArrayLike<number>>>,
): number {
  const byOutput = new Map<string, { difference: number; largest: number }>();
  for (const { output, index, expected } of samples) {
    const seen = byOutput.get(output) ?? { difference: 0, largest: 0 };
    const difference = Math.abs((results[output]?.[index] ?? NaN) - expected);
    byOutput.set(output, {
      difference: Number.isNaN(difference) ? Infinity : Math.max(seen.difference, difference),
      largest: Math.max(seen.largest, Math.abs(expected)),
    });
  }
  const errors = [...byOutput.values()].map(({ difference, largest }) =>
    difference === 0 ? 0 : difference / Math.max(largest, Number.MIN_VALUE),
  );
  return Math.max(...errors);
}
