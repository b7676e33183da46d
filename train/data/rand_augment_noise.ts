import type { RgbImage } from '../../model/rgb_image.js';

/** Where random numbers come from: uniform in [0, 1). */
export interface RandomSource {
  next(): number;
}

/**
 * Adds to each pixel, alike in its three channels, a Poisson number of random sign, as imgaug's `AdditivePoissonNoise` does
 * by default. One random number a pixel is drawn.
 *
 * @param image `[height, width, 3]`, u8.
 * @param mean of the Poisson distribution, at least 0; of 41 at most in use.
 */
export function poissonNoise(image: RgbImage, mean: number, random: RandomSource): RgbImage {
  const { width, height, data } = image;
  const distribution = distributionOf(mean);
  const output = new Uint8ClampedArray(data.length);
  for (let at = 0; at < data.length; at += 3) {
    const draw = random.next() * 2;
    const noise = draw < 1 ? poisson(distribution, draw) : -poisson(distribution, draw - 1);
    output[at] = data[at]! + noise;
    output[at + 1] = data[at + 1]! + noise;
    output[at + 2] = data[at + 2]! + noise;
  }
  return { width, height, data: new Uint8Array(output.buffer) };
}

interface PoissonDistribution {
  /** Probability of at most k. */
  readonly cumulative: Float64Array;
  /** For each slice of [0, 1), the number at its beginning: where the search starts. */
  readonly guide: Uint16Array;
}

const guideSlices = 256;
const distributions = new Map<number, PoissonDistribution>();

function distributionOf(mean: number): PoissonDistribution {
  let distribution = distributions.get(mean);
  if (distribution === undefined) {
    distribution = makeDistribution(mean);
    distributions.set(mean, distribution);
  }
  return distribution;
}

function makeDistribution(mean: number): PoissonDistribution {
  const cumulative: number[] = [];
  let probability = Math.exp(-mean);
  let sum = 0;
  // Beyond this the sum no longer grows, and 0.999... of all draws were answered long before.
  for (let k = 0; k <= mean * 2 + 100; k++) {
    sum += probability;
    cumulative.push(sum);
    probability *= mean / (k + 1);
  }
  const guide = Uint16Array.from({ length: guideSlices }, (_, slice) =>
    cumulative.findIndex((below) => below > slice / guideSlices),
  );
  return { cumulative: Float64Array.from(cumulative), guide };
}

/** The number that a uniform draw of [0, 1) stands for. */
function poisson({ cumulative, guide }: PoissonDistribution, draw: number): number {
  let k = guide[Math.trunc(draw * guideSlices)]!;
  while (k < cumulative.length - 1 && cumulative[k]! <= draw) k++;
  return k;
}
