/** How the cost of transformer blocks grows with their sizes. */
import type { Device } from '../../engine/index.js';
import type { Precision } from '../../model/index.js';
import { type AxisName, type BlockSizes, sizesAlong } from './axes.js';
import { type BlockStack, openBlocks } from './blocks.js';
import type { Machine } from '../report/machine.js';
import { median } from '../report/middle.js';

export const passes = ['forward', 'training'] as const;
export type Pass = (typeof passes)[number];

/** One pass at one size. */
export interface ScalingTimes {
  /** Milliseconds: the middle one of the samples, and the least. */
  readonly medianMs: number;
  readonly fastestMs: number;
  /** Floating-point operations, as the operations' rows count them. */
  readonly flops: number;
  /** Of the fastest sample. */
  readonly flopsPerSecond: number;
  readonly dispatches: number;
}

export interface ScalingPoint {
  readonly sizes: BlockSizes;
  readonly times: Readonly<Record<Pass, ScalingTimes>>;
  /** Highest sum of all tensors in a training pass, in bytes. */
  readonly peakBytes: number;
}

export interface ScalingAxis {
  readonly axis: AxisName;
  readonly points: readonly ScalingPoint[];
}

/** What a run of `bench --scaling` found, as it is printed and stored. */
export interface ScalingReport {
  readonly kind: 'scaling';
  readonly date: string;
  readonly machine: Machine;
  readonly precision: string;
  readonly axes: readonly ScalingAxis[];
}

/** Samples of each pass, taken in two rounds along the axis and back, so that a machine that slows down shows no slope. */
const samplesPerRound = 2;
/** A sample is as many times in a row as take so long. */
const sampleMs = 30;

/**
 * Measures all sizes of an axis.
 * @param onPoint told of the number of sizes measured, of twice as many as there are
 */
export async function measureAxis(
  device: Device,
  axis: AxisName,
  precision: Precision,
  onPoint: (done: number, of: number) => void = () => {},
  sizes: readonly BlockSizes[] = sizesAlong(axis, device.traits.software),
): Promise<ScalingAxis> {
  const places = [...sizes.keys(), ...[...sizes.keys()].reverse()];
  const samples = sizes.map(() => ({ forward: [] as number[], training: [] as number[] }));
  const passCosts: PassCosts[] = [];
  for (const [done, place] of places.entries()) {
    onPoint(done, places.length);
    const stack = await openBlocks(device, sizes[place]!, precision);
    try {
      passCosts[place] ??= await costOf(device, stack);
      for (const pass of passes) {
        const times = await timesFor(device, stack[pass]);
        for (let sample = 0; sample < samplesPerRound; sample++) {
          samples[place]![pass].push(await hostMs(device, stack[pass], times));
        }
      }
    } finally {
      stack.dispose();
      device.trim();
    }
  }
  const points = sizes.map((own, place): ScalingPoint => {
    const { costs, peakBytes } = passCosts[place]!;
    const timed = (pass: Pass): ScalingTimes => {
      const taken = samples[place]![pass];
      const fastestMs = Math.min(...taken);
      return {
        ...costs[pass],
        medianMs: median(taken),
        fastestMs,
        flopsPerSecond: (1000 * costs[pass].flops) / fastestMs,
      };
    };
    return { sizes: own, times: { forward: timed('forward'), training: timed('training') }, peakBytes };
  });
  return { axis, points };
}

/** What the passes take beside time. */
interface PassCosts {
  readonly costs: Readonly<Record<Pass, Pick<ScalingTimes, 'flops' | 'dispatches'>>>;
  readonly peakBytes: number;
}

/** The first run of each compiles. */
async function costOf(device: Device, stack: BlockStack): Promise<PassCosts> {
  const count = async (pass: Pass): Promise<PassCosts['costs'][Pass]> => {
    await hostMs(device, stack[pass], 1);
    device.resetStatistics();
    await hostMs(device, stack[pass], 1);
    const { flops, dispatches } = device.counts;
    return { flops, dispatches };
  };
  const forward = await count('forward');
  const training = await count('training');
  return { costs: { forward, training }, peakBytes: device.memory.peakBytes };
}

async function timesFor(device: Device, record: () => void): Promise<number> {
  const tookMs = await hostMs(device, record, 1);
  return Math.max(1, Math.min(64, Math.round(sampleMs / tookMs)));
}

async function hostMs(device: Device, record: () => void, times: number): Promise<number> {
  await device.finish();
  const start = performance.now();
  for (let time = 0; time < times; time++) record();
  await device.finish();
  return (performance.now() - start) / times;
}
