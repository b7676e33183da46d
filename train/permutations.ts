/** Orders in which the characters of a batch are predicted (permuted sequence modelling, PARSeq, section 3.2). */
import type { RandomGenerator } from '../engine/index.js';

/** The original's `perm_num`, `perm_forward` and `perm_mirrored`. */
export interface PermutationOptions {
  /** Permutations at most; even where they are mirrored. */
  readonly count: number;
  /** Whether the reading order is always the first. */
  readonly forward: boolean;
  /** Whether each permutation is followed by its reverse. */
  readonly mirrored: boolean;
}

/** Longest labels whose permutations are drawn without repetition. */
const longestPooled = 4;

/**
 * Permutations for a batch, drawn as the original draws them. Each starts with position 0, the begin token; characters are
 * positions 1 to `length`; the end token, `length + 1`, comes last, but first after the begin token in the second
 * permutation, which is the full reverse whatever was drawn for it.
 *
 * Labels of one character have one permutation, of two at most two; up to four characters none is drawn twice (the
 * reverse can then still be there a second time where `mirrored` is off).
 *
 * @param length characters of the longest label in the batch
 * @returns as many as `count`, or as there are
 */
export function drawPermutations(
  length: number,
  options: PermutationOptions,
  random: RandomGenerator,
): number[][] {
  if (length === 1) return [[0, 1, 2]];
  const orders = drawOrders(length, options, random);
  const all = options.mirrored ? orders.flatMap((order) => [order, order.toReversed()]) : orders;
  return all.map((order, index) =>
    index === 1 ? [0, ...ascending(1, length + 1).reverse()] : [0, ...order, length + 1],
  );
}

/** Orders of the characters 1 to `length`, one of each mirrored pair. */
function drawOrders(length: number, options: PermutationOptions, random: RandomGenerator): number[][] {
  const { forward, mirrored } = options;
  const first = ascending(1, length);
  const wanted = mirrored ? options.count / 2 : options.count;
  const count = Math.min(wanted, factorial(length) / (mirrored ? 2 : 1));
  const drawn = forward ? count - 1 : count;
  const others =
    length <= longestPooled
      ? random.sample(pool(first, mirrored).slice(forward ? 1 : 0), drawn)
      : Array.from({ length: drawn }, () => random.sample(first, length));
  return forward ? [first, ...others] : others;
}

/**
 * Which of the 24 orders of four characters, sorted, stand for their mirrored pairs in the original. For fewer characters
 * it is the first half.
 */
const chosenOfFour = [0, 3, 4, 6, 9, 10, 12, 16, 17, 18, 19, 21];

/** All orders, sorted, the forward one first; where mirrored one of each pair. */
function pool(items: readonly number[], mirrored: boolean): number[][] {
  const all = orders(items);
  if (!mirrored) return all;
  if (items.length === 4) return chosenOfFour.map((index) => all[index]!);
  return all.slice(0, all.length / 2);
}

function orders(items: readonly number[]): number[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item) =>
    orders(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  );
}

function ascending(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

function factorial(n: number): number {
  return n <= 1 ? 1 : n * factorial(n - 1);
}
