/** Comparing what one image gives with its reference. */

/** Where two rows of values are furthest apart. */
export interface Difference {
  /** Absolute; Infinity where one is not a number, or only one side has a value. */
  readonly error: number;
  /** Index in the row. */
  readonly index: number;
  /** null: not computed. */
  readonly actual: number | null;
  readonly expected: number | null;
}

/** A position at which another class leads than in the reference. */
export interface Parting {
  readonly position: number;
  /** How far the reference's leading logit is from the next: half of it is the error that can part them. */
  readonly margin: number;
}

/** What comparing an image's logits found. */
export interface LogitsDifference {
  readonly largest: Difference | undefined;
  readonly comparedValues: number;
  /** The first one, up to the end of the reference's text: what is computed later follows from it. */
  readonly parting: Parting | undefined;
  /** Whether positions were left out, since they follow from a parting that the tolerance allows. */
  readonly cut: boolean;
}

/** The furthest pair of two rows of equal length; undefined where they are empty. */
export function largestDifference(
  actual: Float32Array,
  expected: Float32Array,
  from = 0,
  to = expected.length,
): Difference | undefined {
  let largest = -1;
  let index = -1;
  for (let at = from; at < to; at++) {
    const difference = actual[at] === expected[at] ? 0 : Math.abs(actual[at]! - expected[at]!);
    const error = Number.isNaN(difference) ? Infinity : difference;
    if (error > largest) [largest, index] = [error, at];
  }
  if (index < 0) return undefined;
  return { error: largest, index, actual: actual[index]!, expected: expected[index]! };
}

/** The one that is further. */
export function further(one: Difference | undefined, other: Difference | undefined): Difference | undefined {
  return one && (!other || one.error >= other.error) ? one : other;
}

/**
 * Compares an image's logits position by position.
 * @param actual `[positions, classes]`
 * @param expected `[positions, classes]`, of as many positions or not; those not computed are NaN
 * @param steps whether each position was read with those before it as context
 * @param allowedMargin partings with a smaller margin are within the tolerance
 */
export function logitsDifference(
  actual: Float32Array,
  expected: Float32Array,
  { classes, endId, steps, allowedMargin }: LogitsTraits & { steps: boolean; allowedMargin: number },
): LogitsDifference {
  let largest: Difference | undefined;
  let comparedValues = 0;
  let parting: Parting | undefined;
  let ended = false;
  const positions = Math.max(actual.length, expected.length) / classes;
  for (let position = 0; position < positions; position++) {
    const [from, to] = [position * classes, (position + 1) * classes];
    const [here, there] = [to <= actual.length, isComputed(expected, from, to)];
    if (!here && !there) continue;
    if (!here || !there) {
      const [own, other] = [here ? actual[from]! : null, there ? expected[from]! : null];
      largest = further(largest, { error: Infinity, index: from, actual: own, expected: other });
      break;
    }
    largest = further(largest, largestDifference(actual, expected, from, to));
    comparedValues += classes;
    const { leader, margin } = leading(expected, from, to);
    if (leading(actual, from, to).leader !== leader) {
      if (!ended) parting ??= { position, margin };
      if (steps && margin <= allowedMargin) {
        return { largest, comparedValues, parting, cut: position + 1 < positions };
      }
    }
    ended ||= leader === endId;
  }
  return { largest, comparedValues, parting, cut: false };
}

/** Of a model's logits. */
export interface LogitsTraits {
  readonly classes: number;
  readonly endId: number;
}

/** Whether any class of a position has a value. */
function isComputed(logits: Float32Array, from: number, to: number): boolean {
  if (to > logits.length) return false;
  for (let at = from; at < to; at++) if (!Number.isNaN(logits[at])) return true;
  return false;
}

/** The class that leads at a position, the first of equals, and how far the next is behind it. */
function leading(logits: Float32Array, from: number, to: number): { leader: number; margin: number } {
  let [first, second, leader] = [-Infinity, -Infinity, 0];
  for (let at = from; at < to; at++) {
    const logit = logits[at]!;
    if (logit > first) [first, second, leader] = [logit, first, at - from];
    else if (logit > second) second = logit;
  }
  return { leader, margin: first - second };
}
