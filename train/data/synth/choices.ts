/** Choices by chance. */
import type { RandomSource } from '../rand_augment_noise.js';

/** Uniform from `low` to `high`. */
export function between(random: RandomSource, low: number, high: number): number {
  return low + (high - low) * random.next();
}

/** A whole number from `low` to `high`, both possible. */
export function integer(random: RandomSource, low: number, high: number): number {
  return low + Math.floor(random.next() * (high - low + 1));
}

export function chance(random: RandomSource, probability: number): boolean {
  return random.next() < probability;
}

/** -1 or 1. */
export function sign(random: RandomSource): number {
  return chance(random, 0.5) ? 1 : -1;
}

/** One of a list that is not empty. */
export function pick<T>(random: RandomSource, values: ArrayLike<T>): T {
  return values[Math.floor(random.next() * values.length)]!;
}

/** One of several values, each as likely as its weight says. */
export function pickWeighted<T>(random: RandomSource, choices: readonly (readonly [number, T])[]): T {
  let left = random.next() * choices.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, value] of choices) {
    left -= weight;
    if (left < 0) return value;
  }
  return choices.at(-1)![1];
}

/** Normally distributed with mean 0 and deviation 1. */
export function normal(random: RandomSource): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random.next()));
  return radius * Math.cos(2 * Math.PI * random.next());
}

/** Log-normal: half of the values are below the median, two thirds within a factor of e to the `spread`. */
export function logNormal(random: RandomSource, median: number, spread: number): number {
  return median * Math.exp(spread * normal(random));
}

export function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
