import { describe, expect, test } from '@jest/globals';
import { RandomGenerator } from '../engine/random.js';
import type { RgbImage } from '../model/rgb_image.js';
import { augmentOperations, randAugment, type RandomSource } from '../train/data/rand_augment.js';
import * as affine from '../train/data/rand_augment_affine.js';
import * as blur from '../train/data/rand_augment_blur.js';
import { poissonNoise } from '../train/data/rand_augment_noise.js';
import * as tables from '../train/data/rand_augment_tables.js';
import { readTensorFixture } from './support/fixtures.js';

function imageOf(width: number, height: number, data: ArrayLike<number>): RgbImage {
  return { width, height, data: Uint8Array.from(data) };
}

/** A row of greys. */
function greys(...levels: number[]): RgbImage {
  return imageOf(
    levels.length,
    1,
    levels.flatMap((level) => [level, level, level]),
  );
}

/** The red channel. */
function reds({ data }: RgbImage): number[] {
  return Array.from(data.filter((_, index) => index % 3 === 0));
}

function randomImage(width: number, height: number, seed = 3): RgbImage {
  const random = new RandomGenerator(seed);
  return imageOf(
    width,
    height,
    Array.from({ length: width * height * 3 }, () => random.integer(256)),
  );
}

/** Numbers written down one by one. */
function scripted(...numbers: number[]): RandomSource {
  return {
    next: () => {
      const number = numbers.shift();
      if (number === undefined) throw new Error('more random numbers were drawn than expected');
      return number;
    },
  };
}

const never = scripted();

// Results of Pillow 12.3: `<input>|<operation> <arguments>`, made by its ImageOps, ImageEnhance, ImageFilter.GaussianBlur,
// and Image.transform and Image.rotate with expand=True and a fill of 128.
describe('operations against Pillow', () => {
  const fixture = readTensorFixture('augment/pillow.safetensors');
  const functions: Readonly<Record<string, (image: RgbImage, ...rest: never[]) => RgbImage>> = {
    ...tables,
    ...affine,
    ...blur,
  };
  const stored = (name: string): RgbImage => {
    const [height, width] = fixture.get(name).shape as [number, number, number];
    return { width, height, data: fixture.bytes(name) };
  };
  const cases = fixture.names.filter((name) => !name.endsWith('|input'));

  test.each(cases)('%s is the same to the bit', (name) => {
    const [input, call] = name.split('|') as [string, string];
    const [operation, ...words] = call.split(' ') as [string, ...string[]];
    const rest = words.map((word) => (Number.isNaN(Number(word)) ? word : Number(word)));
    const result = functions[operation]!(stored(`${input}|input`), ...(rest as never[]));
    const expected = stored(name);
    expect([result.width, result.height]).toEqual([expected.width, expected.height]);
    expect(Buffer.compare(result.data, expected.data)).toBe(0);
  });
});

describe('operations by hand', () => {
  test('auto contrast stretches each channel for itself', () => {
    const image = imageOf(3, 1, [10, 0, 7, 20, 255, 7, 30, 51, 7]);
    // Red: (level - 10) * 12.75; green has both ends already; blue has one level only.
    expect(Array.from(tables.autoContrast(image).data)).toEqual([0, 0, 7, 127, 255, 7, 255, 51, 7]);
  });

  test('equalizing leaves an image with too few pixels as it is', () => {
    expect(reds(tables.equalize(greys(9, 3, 200)))).toEqual([9, 3, 200]);
  });

  test('equalizing spreads levels by how many pixels are darker', () => {
    // 510 pixels at 100, 255 at 101, 255 at 102: a step is (1020 - 255) / 255 = 3.
    const levels = [
      ...Array<number>(510).fill(100),
      ...Array<number>(255).fill(101),
      ...Array<number>(255).fill(102),
    ];
    const equalized = reds(tables.equalize(greys(...levels)));
    expect([equalized[0], equalized[510], equalized[765]]).toEqual([0, 170, 255]);
  });

  test('tables of single levels', () => {
    const image = greys(0, 54, 127, 128, 255);
    expect(reds(tables.invert(image))).toEqual([255, 201, 128, 127, 0]);
    expect(reds(tables.posterize(image, 2))).toEqual([0, 0, 64, 128, 192]);
    expect(reds(tables.solarize(image, 128))).toEqual([0, 54, 127, 127, 0]);
    expect(reds(tables.solarizeAdd(image, 55))).toEqual([55, 109, 182, 128, 255]);
    expect(reds(tables.adjustBrightness(image, 0.5))).toEqual([0, 27, 63, 64, 127]);
    // The mean is 112.8, rounded to 113.
    expect(reds(tables.adjustContrast(image, 0.5))).toEqual([56, 83, 120, 120, 184]);
    expect(reds(tables.adjustContrast(image, 2))).toEqual([0, 0, 141, 143, 255]);
  });

  test('colour is a distance from the grey', () => {
    // The grey of this pixel is 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2.
    const image = imageOf(1, 1, [200, 100, 50]);
    expect(Array.from(tables.adjustColor(image, 0).data)).toEqual([124, 124, 124]);
    expect(Array.from(tables.adjustColor(image, 0.5).data)).toEqual([162, 112, 87]);
    expect(Array.from(tables.adjustColor(image, 2).data)).toEqual([255, 76, 0]);
  });

  test.each(['bilinear', 'bicubic'] as const)('whole steps move pixels unchanged, %s', (interpolation) => {
    const row = greys(1, 2, 3, 4);
    expect(reds(affine.translateX(row, 0.25, interpolation))).toEqual([2, 3, 4, 128]);
    expect(reds(affine.translateX(row, -0.5, interpolation))).toEqual([128, 128, 1, 2]);
    const column = imageOf(1, 2, [5, 6, 7, 8, 9, 10]);
    expect(Array.from(affine.translateY(column, 0.5, interpolation).data)).toEqual([8, 9, 10, 128, 128, 128]);
  });

  test('half a step lies between two pixels; half a pixel beyond the edge is still the last one', () => {
    const row = greys(10, 20, 40, 80);
    expect(reds(affine.translateX(row, -0.125, 'bilinear'))).toEqual([10, 15, 30, 60]);
    expect(reds(affine.translateX(row, 0.125, 'bilinear'))).toEqual([15, 30, 60, 128]);
    // The curve's middle between four neighbours is (-1, 5, 5, -1) / 8 of them; edges repeat.
    expect(reds(affine.translateX(row, 0.125, 'bicubic'))).toEqual([12, 26, 62, 128]);
    expect(reds(affine.translateX(row, -0.125, 'bicubic'))).toEqual([8, 12, 26, 62]);
  });

  test('shearing moves a row by its height', () => {
    const image = imageOf(4, 2, [...greys(1, 2, 3, 4).data, ...greys(5, 6, 7, 8).data]);
    // Row middles lie at 0.5 and 1.5: with a factor of 2 they move by 1 and 3.
    expect(reds(affine.shearX(image, 2, 'bilinear'))).toEqual([2, 3, 4, 128, 8, 128, 128, 128]);
    expect(reds(affine.shearX(image, -2, 'bilinear'))).toEqual([128, 1, 2, 3, 128, 128, 128, 5]);
  });

  test('a rotated image has room for its corners', () => {
    const { width, height, data } = affine.rotate(randomImage(100, 32), 15, 'bilinear');
    // 100 cos 15 + 32 sin 15 = 104.9 and 100 sin 15 + 32 cos 15 = 56.8, on whole pixels about the middle.
    expect([width, height]).toEqual([106, 58]);
    expect(Array.from(data.subarray(0, 3))).toEqual([128, 128, 128]);
    expect(affine.rotate(randomImage(100, 32), 0, 'bilinear')).toEqual(randomImage(100, 32));
  });

  test('blur keeps an even image, and spreads a dot evenly', () => {
    const even = imageOf(7, 5, Array<number>(7 * 5 * 3).fill(77));
    expect(blur.gaussianBlur(even, 2)).toEqual(even);
    const dot = new Uint8Array(15 * 15 * 3);
    dot.fill(255, 7 * 15 * 3 + 7 * 3, 7 * 15 * 3 + 7 * 3 + 3);
    const { data } = blur.gaussianBlur(imageOf(15, 15, dot), 1);
    const level = (x: number, y: number) => data[(y * 15 + x) * 3]!;
    // A Gaussian of deviation 1 has 1 / (2 pi) of its weight near the middle.
    expect(Math.abs(level(7, 7) - 255 / (2 * Math.PI))).toBeLessThan(3);
    for (const distance of [1, 2, 3]) {
      expect(level(7 - distance, 7)).toBe(level(7 + distance, 7));
      expect(level(7, 7 - distance)).toBe(level(7, 7 + distance));
      expect(level(7 + distance, 7)).toBeLessThan(level(6 + distance, 7));
    }
  });
});

describe('noise', () => {
  test('has the moments of a Poisson distribution of either sign, and is grey', () => {
    const side = 300;
    const image = imageOf(side, side, Array<number>(side * side * 3).fill(128));
    const { data } = poissonNoise(image, 21, new RandomGenerator(5));
    let sum = 0;
    let absolute = 0;
    let square = 0;
    let coloured = 0;
    for (let at = 0; at < data.length; at += 3) {
      if (data[at + 1] !== data[at] || data[at + 2] !== data[at]) coloured++;
      const noise = data[at]! - 128;
      sum += noise;
      absolute += Math.abs(noise);
      square += noise ** 2;
    }
    const count = side * side;
    expect(coloured).toBe(0);
    // Standard errors: 0.07, 0.015 and 0.65; five of them.
    expect(Math.abs(sum / count)).toBeLessThan(0.36);
    expect(Math.abs(absolute / count - 21)).toBeLessThan(0.08);
    expect(Math.abs(square / count - (21 + 21 ** 2))).toBeLessThan(3.3);
  });

  test('is what the draw stands for, and stays within bytes', () => {
    // With a mean of 1 the numbers 0, 1, 2 end at 0.368, 0.736, 0.920; the lower half of the draws adds.
    const draws = [0.18, 0.19, 0.36, 0.37, 0.68, 0.69, 0.88, 0.999];
    const noisy = reds(poissonNoise(greys(9, 9, 9, 255, 9, 9, 9, 0), 1, scripted(...draws)));
    expect(noisy).toEqual([9, 10, 10, 255, 9, 8, 7, 0]);
  });

  test('of the last draw of all is finite', () => {
    const [level] = reds(poissonNoise(greys(0), 41, scripted(0.5 - 2 ** -32)));
    expect(level).toBeGreaterThan(70);
    expect(level).toBeLessThan(140);
  });
});

describe('magnitudes', () => {
  const image = randomImage(100, 32);
  const { translateX, translateY, shearX, shearY, rotate } = affine;
  const { adjustColor, adjustContrast, adjustBrightness, posterize, solarize, solarizeAdd } = tables;
  const first = [0.2, 0.2];
  const second = [0.7, 0.7];
  const cases: readonly [name: string, magnitude: number, draws: number[], expected: RgbImage][] = [
    ['AutoContrast', 5, [], tables.autoContrast(image)],
    ['Equalize', 5, [], tables.equalize(image)],
    ['Invert', 5, [], tables.invert(image)],
    ['Rotate', 5, first, rotate(image, 15, 'bilinear')],
    ['Rotate', 10, second, rotate(image, -30, 'bicubic')],
    ['PosterizeIncreasing', 5, [], posterize(image, 2)],
    ['PosterizeIncreasing', 3, [], posterize(image, 3)],
    ['PosterizeIncreasing', 10, [], posterize(image, 0)],
    ['SolarizeIncreasing', 0, [], image],
    ['SolarizeIncreasing', 5, [], solarize(image, 128)],
    ['SolarizeIncreasing', 10, [], solarize(image, 0)],
    ['SolarizeAdd', 5, [], solarizeAdd(image, 55)],
    ['SolarizeAdd', 10, [], solarizeAdd(image, 110)],
    ['ColorIncreasing', 5, [0.2], adjustColor(image, 1.45)],
    ['ColorIncreasing', 5, [0.7], adjustColor(image, 0.55)],
    ['ContrastIncreasing', 5, [0.7], adjustContrast(image, 0.55)],
    ['ContrastIncreasing', 10, [0.2], adjustContrast(image, 1.9)],
    ['BrightnessIncreasing', 5, [0.2], adjustBrightness(image, 1.45)],
    ['BrightnessIncreasing', 10, [0.7], adjustBrightness(image, 0.1)],
    ['ShearX', 5, first, shearX(image, 0.45, 'bilinear')],
    ['ShearX', 99, second, shearX(image, -0.9, 'bicubic')],
    ['ShearY', 5, second, shearY(image, -0.1, 'bicubic')],
    ['TranslateXRel', 5, first, translateX(image, 0.05, 'bilinear')],
    ['TranslateYRel', 5, second, translateY(image, -0.15, 'bicubic')],
    ['GaussianBlur', 5, [], blur.gaussianBlur(image, 2)],
    ['GaussianBlur', 10, [], blur.gaussianBlur(image, 2)],
    ['GaussianBlur', 0, [], image],
  ];
  const byName = new Map(augmentOperations.map((operation) => [operation.name, operation]));

  test.each(cases)('%s at %d, drawing %j', (name, magnitude, draws, expected) => {
    const random = scripted(...draws);
    const result = byName.get(name)!.apply(image, magnitude, random);
    expect([result.width, result.height]).toEqual([expected.width, expected.height]);
    expect(Buffer.compare(result.data, expected.data)).toBe(0);
    expect(() => random.next()).toThrow('more random numbers');
  });

  test('blur and noise are limited by the longer side', () => {
    const blurOf = (width: number) => {
      const crop = randomImage(width, 9);
      const { data } = byName.get('GaussianBlur')!.apply(crop, 10, never);
      return [1, 2, 3, 4].find((radius) => !Buffer.compare(data, blur.gaussianBlur(crop, radius).data));
    };
    // 0.02 of the side, at least 1, rounded to even at 2.5.
    expect([8, 74, 76, 125, 126, 200, 900].map(blurOf)).toEqual([1, 1, 2, 2, 3, 4, 4]);
    const noiseOf = (width: number, magnitude: number) => {
      const crop = randomImage(width, 1);
      const { data } = byName.get('PoissonNoise')!.apply(crop, magnitude, new RandomGenerator(1));
      return [1, 3, 11, 21, 41].find(
        (mean) => !Buffer.compare(data, poissonNoise(crop, mean, new RandomGenerator(1)).data),
      );
    };
    // 0.2 of the side, made odd.
    expect([8, 50, 100, 300].map((width) => noiseOf(width, 5))).toEqual([3, 11, 21, 21]);
    expect(noiseOf(300, 10)).toBe(41);
    expect(noiseOf(300, 0)).toBe(1);
  });
});

describe('RandAugment', () => {
  test('has the operations of PARSeq', () => {
    expect(augmentOperations.map(({ name }) => name)).toEqual([
      'AutoContrast',
      'Equalize',
      'Invert',
      'Rotate',
      'PosterizeIncreasing',
      'SolarizeIncreasing',
      'SolarizeAdd',
      'ColorIncreasing',
      'ContrastIncreasing',
      'BrightnessIncreasing',
      'ShearX',
      'ShearY',
      'TranslateXRel',
      'TranslateYRel',
      'GaussianBlur',
      'PoissonNoise',
    ]);
  });

  test('chooses three different operations and applies each or not', () => {
    const image = randomImage(20, 9);
    // The first of those left, three times; the second is not applied.
    const random = scripted(0, 0.4, 0, 0.6, 0, 0.4);
    expect(randAugment(image, random)).toEqual(tables.invert(tables.autoContrast(image)));
    expect(() => random.next()).toThrow('more random numbers');
    // The last of those left.
    const last = scripted(0.999, 0.6, 0.999, 0.4, 0.999, 0.4, 0.2, 0.2);
    const expected = affine.translateY(blur.gaussianBlur(image, 1), 0.15, 'bilinear');
    expect(randAugment(image, last)).toEqual(expected);
  });

  test('leaves one image in eight alone', () => {
    const image = randomImage(12, 6);
    const random = new RandomGenerator(9);
    let same = 0;
    for (let round = 0; round < 4000; round++) if (randAugment(image, random) === image) same++;
    // The standard error is 21.
    expect(Math.abs(same - 500)).toBeLessThan(105);
  });

  test.each([
    [1, 1],
    [1, 40],
    [90, 1],
    [2, 3],
    [130, 37],
  ])('any operation takes an image of %d x %d and leaves it as it is', (width, height) => {
    const image = randomImage(width, height);
    const before = Uint8Array.from(image.data);
    const random = new RandomGenerator(2);
    for (const { name, apply } of augmentOperations) {
      for (const magnitude of [0, 5, 10]) {
        const result = apply(image, magnitude, random);
        expect(result.data).toHaveLength(result.width * result.height * 3);
        if (name !== 'Rotate') expect([result.width, result.height]).toEqual([width, height]);
      }
    }
    expect(Buffer.compare(image.data, before)).toBe(0);
  });

  test('the same numbers give the same image, others another', () => {
    const image = randomImage(100, 32);
    const augmented = (seed: number) =>
      Array.from({ length: 8 }, (_, stream) => randAugment(image, new RandomGenerator(seed, stream)));
    expect(augmented(1)).toEqual(augmented(1));
    expect(augmented(1)).not.toEqual(augmented(2));
  });
});
