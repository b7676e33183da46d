import type { NormalizedImage } from './image_input.js';
import type { Precision } from './parameters.js';
import type { RgbImage } from './rgb_image.js';

/** Beyond what any normalisation gives. */
const largestNormalized = 100;

/** Why a model computed what is no number from an image, as far as the image tells, and what to do. */
export function overflowAdvice(image: RgbImage | NormalizedImage, precision: Precision): string {
  const largest =
    'normalized' in image ? image.normalized.reduce((most, value) => Math.max(most, Math.abs(value)), 0) : 0;
  if (largest > largestNormalized) {
    return `The image's values reach ${Number(largest.toPrecision(3))}; normalised ones lie within about 3.`;
  }
  return precision !== 'f32'
    ? `The weights may be too large for ${precision}, or damaged: try precision f32.`
    : 'The weights may be damaged: download or convert them again.';
}
