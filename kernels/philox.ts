/**
 * Counter-based random numbers, Philox 4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as
 * 1, 2, 3", SC 2011): a word depends on its seed, stream and index alone, so any part of a stream can be made again
 * anywhere. The same as philox.wgsl, bit for bit.
 */

/** Names 2^34 random words. Streams that differ in seed or offset are independent of each other. */
export interface RandomStream {
  /** 64 bits, as two 32-bit words. */
  readonly seed: readonly [number, number];
  /** Which stream of the seed: an integer from 0 to 2^53 - 1, such as the count of draws before. */
  readonly offset: number;
}

type Words = readonly [number, number, number, number];

const { imul } = Math;
const multipliers = [0xd2511f53, 0xcd9e8d57] as const;
const keySteps = [0x9e3779b9, 0xbb67ae85] as const;

/** The upper 32 bits of a product of two words. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  // Each product and sum is below 2^32.
  const first = aHigh * bLow + ((aLow * bLow) >>> 16);
  const second = aLow * bHigh + (first & 0xffff);
  return aHigh * bHigh + (first >>> 16) + (second >>> 16);
}

/** Four random words from a 128-bit counter and a 64-bit key, each as 32-bit words, the lowest first. */
export function philox(counter: Words, key: readonly [number, number]): Words {
  let a = counter[0];
  let b = counter[1];
  let c = counter[2];
  let d = counter[3];
  let low = key[0];
  let high = key[1];
  for (let round = 0; round < 10; round++) {
    const first = multiplyHigh(multipliers[0], a);
    const second = multiplyHigh(multipliers[1], c);
    const next = imul(multipliers[0], a) >>> 0;
    a = (second ^ b ^ low) >>> 0;
    b = imul(multipliers[1], c) >>> 0;
    c = (first ^ d ^ high) >>> 0;
    d = next;
    low = (low + keySteps[0]) >>> 0;
    high = (high + keySteps[1]) >>> 0;
  }
  return [a, b, c, d];
}

/** The counter's upper half for a stream. */
export function streamWords({ offset }: RandomStream): [number, number] {
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new RangeError(`random stream ${offset} is not an integer from 0 to 2^53 - 1`);
  }
  return [offset >>> 0, Math.floor(offset / 2 ** 32)];
}

/** Word `index` (from 0) of a stream. */
export function randomWord(stream: RandomStream, index: number): number {
  const [low, high] = streamWords(stream);
  return philox([Math.floor(index / 4), 0, low, high], stream.seed)[index % 4]!;
}
