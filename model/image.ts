import { resizeBicubic } from './resize.js';
import type { RgbImage } from './rgb_image.js';

/**
 * How pixels become numbers around zero: `half` subtracts 0.5 and divides by 0.5, as the original does for reading and
 * testing; `clip` takes OpenAI's mean and deviation of each channel, as it does for training.
 */
export const normalizations = ['half', 'clip'] as const;
export type Normalization = (typeof normalizations)[number];

const channelStatistics: Record<Normalization, readonly { mean: number; deviation: number }[]> = {
  half: Array.from({ length: 3 }, () => ({ mean: 0.5, deviation: 0.5 })),
  clip: [
    { mean: 0.48145466, deviation: 0.26862954 },
    { mean: 0.4578275, deviation: 0.26130258 },
    { mean: 0.40821073, deviation: 0.27577711 },
  ],
};

/** What each byte becomes, by channel: rounded at each step as torchvision's ToTensor and Normalize round. */
function levelsOf(normalization: Normalization): Float32Array[] {
  return channelStatistics[normalization].map(({ mean, deviation }) =>
    Float32Array.from(
      { length: 256 },
      (_, value) => Math.fround(Math.fround(value / 255) - Math.fround(mean)) / Math.fround(deviation),
    ),
  );
}

const levels: Record<Normalization, Float32Array[]> = { half: levelsOf('half'), clip: levelsOf('clip') };

/**
 * @param image `[height, width, 3]`, u8.
 * @param output where the numbers go, a new array unless given.
 * @returns `[3, height, width]`, f32.
 */
export function normalizeImage(
  image: RgbImage,
  normalization: Normalization,
  output: Float32Array = new Float32Array(3 * image.width * image.height),
): Float32Array {
  const { data } = image;
  const pixels = image.width * image.height;
  const [red, green, blue] = levels[normalization] as [Float32Array, Float32Array, Float32Array];
  for (let pixel = 0, at = 0; pixel < pixels; pixel++, at += 3) {
    output[pixel] = red[data[at]!]!;
    output[pixels + pixel] = green[data[at + 1]!]!;
    output[2 * pixels + pixel] = blue[data[at + 2]!]!;
  }
  return output;
}

/**
 * Normalised values as the other normalisation has them, but for rounding.
 *
 * @param values `[3, height, width]`, f32; left as they are.
 */
export function renormalizeImage(values: Float32Array, from: Normalization, to: Normalization): Float32Array {
  if (from === to) return values;
  const pixels = values.length / 3;
  return values.map((value, at) => {
    const channel = Math.floor(at / pixels);
    const [before, after] = [channelStatistics[from][channel]!, channelStatistics[to][channel]!];
    return (value * before.deviation + before.mean - after.mean) / after.deviation;
  });
}

/**
 * What a model is given for an image: resized straight to its size, aspect not kept, then normalised.
 *
 * @param size `[height, width]` of the model's input.
 * @param output where the numbers go, a new array unless given.
 * @returns `[3, height, width]`, f32.
 */
export function preprocessImage(
  image: RgbImage,
  [height, width]: readonly [number, number],
  normalization: Normalization,
  output?: Float32Array,
): Float32Array {
  return normalizeImage(resizeBicubic(image, height, width), normalization, output);
}

/**
 * The square that plain CLIP looks at: shorter side resized to `size`, the middle of the longer one kept, as in OpenAI's
 * own preprocessing.
 *
 * @returns `[size, size, 3]`, u8.
 */
export function resizeAndCrop(image: RgbImage, size: number): RgbImage {
  const shorter = Math.min(image.width, image.height);
  const width = Math.trunc((size * image.width) / shorter);
  const height = Math.trunc((size * image.height) / shorter);
  // A very long image would fill gigabytes if all of it were resized before the crop. The rounding decides where the
  // margin is odd.
  return resizeBicubic(image, height, width, {
    rows: { start: roundHalfToEven((height - size) / 2), length: size },
    columns: { start: roundHalfToEven((width - size) / 2), length: size },
  });
}

/** Rounds as Python does. */
export function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}
