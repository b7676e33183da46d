/** The benchmark of the kernels: every piece of work, every type and variant, in turns with whoever else does the work. */
import { type Device, DeviceLostError, fill, measurePeakFlops } from '../../engine/index.js';
import { median } from '../report/middle.js';
import { betweenSamples, processIdle, warmMs } from '../report/process_idle.js';
import { asDrawn, largestError } from './accuracy.js';
import { operandBytes, workCost } from './cost.js';
import { prepareOwnWork } from './own.js';
import type { VariantChoice } from './own_work.js';
import { referenceSamples } from './reference.js';
import type { Runner } from './runner.js';
import type { Sample } from './samples.js';
import type { UsedWork } from './shapes.js';
import { type Clock, Stopwatch, measurePeakBytes, mostDispatches } from './stopwatch.js';
import { type OperandValues, inputValues } from './values.js';
import { type NumberType, type Work, operandsOf } from './work.js';

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
  /** The middle one by the host's clock, from before the work is recorded until it is done: what is set against others. */
  readonly hostMs: number;
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
  readonly dtype: NumberType;
  readonly flops: number;
  readonly bytes: number;
  /** Of work that there are several ways to do. */
  readonly choice?: VariantChoice;
  /** Milliseconds of our fastest variant in the report that is compared with. */
  readonly olderMs?: number;
  readonly times: readonly KernelTimes[];
  /** Runners that could not, and why. */
  readonly unable: readonly { readonly runner: string; readonly reason: string }[];
}

export interface Peaks {
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
}

export const ownName = 'clip4str-engine';

/** Least milliseconds of one sample, so that starting and waiting do not count. */
const sampleMs = { software: 15, gpu: 5 };
/** Times that are enough for any sample. */
const mostTimes = 4096;
/** So many samples are taken, unless some have taken so many milliseconds. */
const [mostSamples, fewSamples, enoughMs] = [11, 3, 1000];

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

  /**
   * Does one piece of work in every way, in turns, so that a noisy machine troubles all alike.
   * @throws the signal's reason where that is given
   */
  async row(
    used: UsedWork,
    dtype: NumberType,
    peers: readonly Runner[] = [],
    signal?: AbortSignal,
  ): Promise<KernelRow> {
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
    let choice: VariantChoice | undefined;
    const times = await this.device.scope(async () => {
      const entrants: Entrant[] = [];
      const unless = async (runner: string, work: () => Promise<void>): Promise<void> => {
        try {
          await work();
        } catch (error) {
          if (error instanceof DeviceLostError) throw error;
          unable.push({ runner, reason: error instanceof Error ? error.message : String(error) });
        }
      };
      try {
        await unless(ownName, async () => {
          choice = await this.addOwn(entrants, work, dtype, values, samples);
        });
        for (const peer of peers) {
          await unless(peer.name, () => addPeer(entrants, peer, work, dtype, values, samples));
        }
        return await this.timeInTurns(entrants, cost, unless, signal);
      } finally {
        for (const { dispose } of entrants) await dispose?.();
      }
    });
    this.device.trim();
    return { ...row, ...(choice && { choice }), times, unable };
  }

  private tooLarge(work: Work, dtype: NumberType): string | undefined {
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

  private async addOwn(
    entrants: Entrant[],
    work: Work,
    dtype: NumberType,
    values: OperandValues,
    samples: readonly Sample[],
  ): Promise<VariantChoice | undefined> {
    const { device, stopwatch } = this;
    const own = prepareOwnWork(device, work, dtype, values);
    const names = Object.keys(own.outputs);
    const { inputs } = operandsOf(work, dtype);
    for (const { name, record } of own.variants) {
      // What a variant leaves out must not be right by what another wrote.
      for (const output of names) {
        const tensor = own.outputs[output]!;
        if (!(output in inputs)) fill(tensor, tensor.dtype === 'u32' ? 0xffffffff : NaN);
      }
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
        mostTimes:
          stopwatch.clock === 'device' ? Math.max(1, Math.floor(mostDispatches / dispatches)) : mostTimes,
        timeMs: (times) => stopwatch.timeMs(record, times),
        hostMs: (times) => stopwatch.hostMs(record, times),
      });
    }
    return own.choice;
  }

  /** So often that one sample takes long enough, whatever starting and waiting take. */
  private async timesFor({ timeMs, mostTimes: most }: Entrant): Promise<number> {
    const wantedMs = sampleMs[this.device.traits.software ? 'software' : 'gpu'];
    for (let times = 1; ; times = Math.min(most, 2 * times)) {
      let tookMs = times * (await timeMs(times));
      // Again, since a machine that pauses would be taken for long work.
      if (tookMs >= wantedMs && tookMs < warmMs) tookMs = Math.min(tookMs, times * (await timeMs(times)));
      if (tookMs >= wantedMs || times >= most) return times;
    }
  }

  private async timeInTurns(
    entrants: readonly Entrant[],
    cost: { readonly flops: number; readonly bytes: number },
    unless: (runner: string, work: () => Promise<void>) => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<KernelTimes[]> {
    const plans: { entrant: Entrant; times: number; taken: number[]; host: number[] }[] = [];
    for (const entrant of entrants) {
      await unless(entrant.runner, async () => {
        plans.push({ entrant, times: await this.timesFor(entrant), taken: [], host: [] });
      });
    }
    const peers = plans.some(({ entrant }) => entrant.runner !== ownName);
    for (let round = 0; round < mostSamples; round++) {
      for (const plan of [...plans]) {
        const { entrant, times, taken, host } = plan;
        const spentMs = times * taken.reduce((sum, ms) => sum + ms, 0);
        if (taken.length >= fewSamples && spentMs >= enoughMs) continue;
        const before = taken.length;
        signal?.throwIfAborted();
        // Alone, one of our variants follows the other.
        if (peers) await processIdle({ ...betweenSamples, signal });
        await unless(entrant.runner, async () => {
          // A processor that was idle, or did another's work, is slow at first.
          if (peers && times * (taken.at(-1) ?? 0) < warmMs) await entrant.timeMs(times);
          const ms = await entrant.timeMs(times);
          host.push(entrant.clock === 'host' ? ms : await entrant.hostMs(times));
          taken.push(ms);
        });
        if (taken.length === before) plans.splice(plans.indexOf(plan), 1);
      }
    }
    return plans.map(({ entrant: { runner, variant, clock, error }, taken, host }) => {
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
        hostMs: median(host),
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
  /** How often the work can be done in one go. */
  readonly mostTimes: number;
  /** Milliseconds of one time. */
  readonly timeMs: (times: number) => Promise<number>;
  readonly hostMs: (times: number) => Promise<number>;
  readonly dispose?: () => Promise<void>;
}

async function addPeer(
  entrants: Entrant[],
  peer: Runner,
  work: Work,
  dtype: NumberType,
  values: OperandValues,
  samples: readonly Sample[],
): Promise<void> {
  const prepared = await peer.prepare(work, dtype, values);
  try {
    // The first run compiles.
    await prepared.run(1);
    const timeMs = async (times: number): Promise<number> => {
      if (prepared.timedRun) return (await prepared.timedRun(times)) / times;
      const start = performance.now();
      await prepared.run(times);
      return (performance.now() - start) / times;
    };
    const results = await prepared.results();
    entrants.push({
      runner: peer.name,
      variant: [peer.version, prepared.note].filter(Boolean).join('; '),
      clock: 'host',
      error: largestError(
        samples.map((sample) => asDrawn(sample, results)),
        results,
      ),
      mostTimes,
      timeMs,
      hostMs: timeMs,
      dispose: () => prepared.dispose(),
    });
  } catch (error) {
    await prepared.dispose();
    throw error;
  }
}
