import { roundHalfToEven } from '../../model/image.js';
import type { RgbImage } from '../../model/rgb_image.js';
import { type Interpolation, rotate, shearX, shearY, translateX, translateY } from './rand_augment_affine.js';
import { gaussianBlur } from './rand_augment_blur.js';
import { type RandomSource, poissonNoise } from './rand_augment_noise.js';
import {
  adjustBrightness,
  adjustColor,
  adjustContrast,
  autoContrast,
  equalize,
  invert,
  posterize,
  solarize,
  solarizeAdd,
} from './rand_augment_tables.js';

export type { RandomSource } from './rand_augment_noise.js';

/** The magnitude at which an operation has its full range; larger ones count as this. */
export const maximumMagnitude = 10;
/** Each chosen operation is applied with this probability. */
const applyProbability = 0.5;

/** Ranges at the maximum magnitude. */
const range = {
  rotateDegrees: 30,
  shearX: 0.9,
  shearY: 0.2,
  translateXOfWidth: 0.1,
  translateYOfHeight: 0.3,
  posterizeBits: 4,
  solarizeLevels: 256,
  solarizeAddLevels: 110,
  enhance: 0.9,
  blurRadius: 4,
  noiseMean: 40,
} as const;

/** The weakest enhancement factor: an image must not lose all of its colour, contrast or light. */
const minimumEnhanceFactor = 0.1;
/** Blur and noise are limited by the longer side, so that small crops stay legible. */
const maximumRadiusOfSide = 0.02;
const maximumMeanOfSide = 0.2;

export interface AugmentOperation {
  readonly name: string;
  /**
   * @param image `[height, width, 3]`, u8; stays as it is.
   * @param magnitude 0 (no change for most) to {@link maximumMagnitude}.
   * @returns an image of the same size; of Rotate, as much larger as it needs.
   */
  readonly apply: (image: RgbImage, magnitude: number, random: RandomSource) => RgbImage;
}

/** The operations of PARSeq's augmentation: timm's increasing ones without Sharpness, and blur and noise. */
export const augmentOperations: readonly AugmentOperation[] = [
  { name: 'AutoContrast', apply: (image) => autoContrast(image) },
  { name: 'Equalize', apply: (image) => equalize(image) },
  { name: 'Invert', apply: (image) => invert(image) },
  moving('Rotate', rotate, range.rotateDegrees),
  {
    name: 'PosterizeIncreasing',
    apply: (image, magnitude) => posterize(image, 4 - Math.trunc(share(magnitude) * range.posterizeBits)),
  },
  {
    name: 'SolarizeIncreasing',
    apply: (image, magnitude) => solarize(image, 256 - Math.trunc(share(magnitude) * range.solarizeLevels)),
  },
  {
    name: 'SolarizeAdd',
    apply: (image, magnitude) => solarizeAdd(image, Math.trunc(share(magnitude) * range.solarizeAddLevels)),
  },
  enhancing('ColorIncreasing', adjustColor),
  enhancing('ContrastIncreasing', adjustContrast),
  enhancing('BrightnessIncreasing', adjustBrightness),
  moving('ShearX', shearX, range.shearX),
  moving('ShearY', shearY, range.shearY),
  moving('TranslateXRel', translateX, range.translateXOfWidth),
  moving('TranslateYRel', translateY, range.translateYOfHeight),
  {
    name: 'GaussianBlur',
    apply: (image, magnitude) =>
      gaussianBlur(image, limited(share(magnitude) * range.blurRadius, image, maximumRadiusOfSide)),
  },
  {
    name: 'PoissonNoise',
    // Made odd as in the original, which so keeps fewer means in use.
    apply: (image, magnitude, random) =>
      poissonNoise(image, limited(share(magnitude) * range.noiseMean, image, maximumMeanOfSide) | 1, random),
  },
];

/**
 * Augments a word image for training as PARSeq and CLIP4STR do: RandAugment (Cubuk and others 2020) as in timm. `layers`
 * different operations are chosen, and each is applied with a probability of one half, at a fixed magnitude, in a random
 * direction where it has one. The pixels are Pillow's to the bit, but for the noise, which is drawn here.
 *
 * @param image `[height, width, 3]`, u8; stays as it is.
 * @param random decides everything: the same numbers give the same image.
 * @returns an image of the same size, or a larger one if it was rotated; it may be the given one.
 */
export function randAugment(
  image: RgbImage,
  random: RandomSource,
  { magnitude = 5, layers = 3 }: { readonly magnitude?: number; readonly layers?: number } = {},
): RgbImage {
  const remaining = [...augmentOperations];
  let augmented = image;
  for (let layer = 0; layer < layers; layer++) {
    const [operation] = remaining.splice(Math.trunc(random.next() * remaining.length), 1);
    if (operation === undefined) break;
    if (random.next() < applyProbability) augmented = operation.apply(augmented, magnitude, random);
  }
  return augmented;
}

function share(magnitude: number): number {
  return Math.min(Math.max(magnitude, 0), maximumMagnitude) / maximumMagnitude;
}

function eitherWay(amount: number, random: RandomSource): number {
  return random.next() < 0.5 ? amount : -amount;
}

function moving(
  name: string,
  move: (image: RgbImage, amount: number, interpolation: Interpolation) => RgbImage,
  fullAmount: number,
): AugmentOperation {
  return {
    name,
    apply: (image, magnitude, random) => {
      const amount = eitherWay(share(magnitude) * fullAmount, random);
      return move(image, amount, random.next() < 0.5 ? 'bilinear' : 'bicubic');
    },
  };
}

/** The further the factor from 1, the stronger: "increasing". */
function enhancing(name: string, adjust: (image: RgbImage, factor: number) => RgbImage): AugmentOperation {
  return {
    name,
    apply: (image, magnitude, random) =>
      adjust(image, Math.max(minimumEnhanceFactor, 1 + eitherWay(share(magnitude) * range.enhance, random))),
  };
}

/** A whole level, at most (but at least 1) a share of the image's longer side. */
function limited(level: number, { width, height }: RgbImage, shareOfSide: number): number {
  return roundHalfToEven(Math.min(level, Math.max(1, shareOfSide * Math.max(width, height))));
}
