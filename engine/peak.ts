/** What a device can compute at most, measured. */
import { launchMultiplyAdd, multiplyAddCost, multiplyAddWorkgroup } from '../kernels/index.js';
import type { Device } from './device.js';

/** Long enough for a clock to speed up and for the wait afterwards not to count. */
const leastMs = 40;
const attempts = 5;
const mostRounds = 2 ** 20;
/** Enough invocations for the largest GPU. */
const workgroups = { software: 256, gpu: 16_384 };

const measured = new WeakMap<Device, Promise<number>>();

/**
 * Floating-point operations a second that f32 multiply-adds reach on a device: the fastest of a few runs of a tenth of
 * a second or less, made once for a device. Kernels that use matrix units in f16 can exceed it.
 */
export function measurePeakFlops(device: Device): Promise<number> {
  const known = measured.get(device);
  if (known) return known;
  const measuring = measure(device);
  measured.set(device, measuring);
  measuring.catch(() => measured.delete(device));
  return measuring;
}

async function measure(device: Device): Promise<number> {
  const { traits } = device;
  const count = multiplyAddWorkgroup(traits) * (traits.software ? workgroups.software : workgroups.gpu);
  const result = device.keep(device.empty('f32', [count]));
  const run = async (rounds: number): Promise<{ flops: number; ms: number }> => {
    const problem = { result, rounds, factor: 0.999, term: 1e-3 };
    await device.finish();
    const start = performance.now();
    device.dispatch(
      ([operand]) => launchMultiplyAdd({ ...problem, result: operand! }, traits),
      [result],
      () => 'measurePeakFlops',
    );
    await device.finish();
    return { flops: multiplyAddCost(problem).flops, ms: performance.now() - start };
  };
  try {
    // The first run compiles.
    await run(1);
    let rounds = 1;
    // The faster of two: one that something else held up must not end the search.
    const fastestMs = async (): Promise<number> => Math.min((await run(rounds)).ms, (await run(rounds)).ms);
    for (let ms = await fastestMs(); ms < leastMs && rounds < mostRounds; ms = await fastestMs()) {
      // Part of a short run is the wait after it, so this falls short rather than goes too far.
      rounds = Math.min(mostRounds, Math.ceil((1.1 * rounds * leastMs) / ms));
    }
    let best = 0;
    for (let attempt = 0; attempt < attempts; attempt++) {
      const { flops, ms } = await run(rounds);
      best = Math.max(best, (flops / ms) * 1000);
    }
    return best;
  } finally {
    result.dispose();
  }
}
