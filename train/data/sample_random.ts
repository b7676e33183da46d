import { RandomGenerator } from '../../engine/random.js';

/** The golden ratio's share of the streams: epochs so far apart do not come near each other's positions. */
const epochStep = 0x9e3779b9;

/**
 * Random numbers for one place of the training: the same for the same numbers, on any thread and at any time.
 *
 * @param seed whole number from 0 to 2^53 - 1
 * @param position in the epoch's order; -1 is the order itself
 */
export function sampleRandom(seed: number, epoch: number, position: number): RandomGenerator {
  return new RandomGenerator(seed, (Math.imul(epoch, epochStep) + position) >>> 0);
}
