import { resizeBicubic } from './resize.js';
import type { RgbImage } from './rgb_image.js';

/**
 * How pixels become numbers around zero: `half` subtracts 0.5 and divides by 0.5, as the original does for reading and
 * testing; `clip` takes OpenAI's mean and deviation of each channel, as it does for training.
 */
export type Normalization = 'half' | 'clip';

const channelStatistics: Record<Normalization, readonly { mean: number; deviation: number }[]> = {
  half: Array.from({ length: 3 }, () => ({ mean: 0.5, deviation: 0.5 })),
  clip: [
    { mean: 0.48145466, deviation: 0.26862954 },
    { mean: 0.4578275, deviation: 0.26130258 },
    { mean: 0.40821073, deviation: 0.27577711 },
  ],
};

/**
 * @param image `[height, width, 3]`, u8.
 * @returns `[3, height, width]`, f32, rounded at each step as torchvision's ToTensor and Normalize round.
 */
export function normalizeImage(image: RgbImage, normalization: Normalization): Float32Array {
  const pixels = image.width * image.height;
  const output = new Float32Array(3 * pixels);
  for (const [channel, { mean, deviation }] of channelStatistics[normalization].entries()) {
    const level = new Float32Array(256);
    for (let value = 0; value < 256; value++) {
      level[value] = Math.fround(Math.fround(value / 255) - Math.fround(mean)) / Math.fround(deviation);
    }
    for (let pixel = 0; pixel < pixels; pixel++) {
      output[channel * pixels + pixel] = level[image.data[pixel * 3 + channel]!]!;
    }
  }
  return output;
}

/**
 * What a model is given for an image: resized straight to its size, aspect not kept, then normalised.
 *
 * @param size `[height, width]` of the model's input.
 * @returns `[3, height, width]`, f32.
 */
export function preprocessImage(
  image: RgbImage,
  [height, width]: readonly [number, number],
  normalization: Normalization,
): Float32Array {
  return normalizeImage(resizeBicubic(image, height, width), normalization);
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
  // A very long image would fill gigabytes if all of it were resized before the crop.
  return resizeBicubic(image, height, width, {
    rows: { start: roundHalfToEven((height - size) / 2), length: size },
    columns: { start: roundHalfToEven((width - size) / 2), length: size },
  });
}

/** Rounds as Python does, which decides the crop where the margin is odd. */
function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}
