import { describe, expect, test } from '@jest/globals';
import {
  normalizeImage,
  preprocessImage,
  renormalizeImage,
  resizeAndCrop,
  type Normalization,
} from '../model/image.js';
import { resizeBicubic } from '../model/resize.js';
import type { RgbImage } from '../model/rgb_image.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';

interface Statistics {
  mean: number[];
  std: number[];
  min?: number;
  max?: number;
  first4?: number[][];
}
const reference = readJsonFixture<{ images: Record<string, Record<string, Statistics>> }>(
  'preprocess/preprocess.json',
);
const tensors = readTensorFixture('preprocess/pixels.safetensors');
const normalizations: readonly [string, Normalization][] = [
  ['openai', 'clip'],
  ['half', 'half'],
];

function stored(name: string): RgbImage {
  const [height, width] = tensors.get(name).shape as [number, number, number];
  return { width, height, data: tensors.bytes(name) };
}

const resized = tensors.names.filter((name) => /\|\d+x\d+/.test(name));

describe('resizing against Pillow', () => {
  test.each(resized)('%s is the same to the bit', (name) => {
    const [file, size] = name.split('|') as [string, string];
    const [height, width] = size.split('x').map(Number) as [number, number];
    const { width: gotWidth, height: gotHeight, data } = resizeBicubic(stored(`${file}|rgb`), height, width);
    expect([gotHeight, gotWidth]).toEqual([height, width]);
    expect(Buffer.compare(data, tensors.bytes(name))).toBe(0);
  });
});

test('a normalisation is turned into the other one but for rounding', () => {
  const image = { width: 16, height: 16, data: Uint8Array.from({ length: 768 }, (_, at) => at & 255) };
  const [half, clip] = [normalizeImage(image, 'half'), normalizeImage(image, 'clip')];
  renormalizeImage(half, 'half', 'clip').forEach((value, at) => expect(value).toBeCloseTo(clip[at]!, 5));
  renormalizeImage(clip, 'clip', 'half').forEach((value, at) => expect(value).toBeCloseTo(half[at]!, 5));
  expect(renormalizeImage(half, 'half', 'half')).toEqual(half);
});

describe('normalising against torchvision', () => {
  const cases = Object.entries(reference.images).flatMap(([file, entries]) =>
    ['224x224', '32x128'].flatMap((size) =>
      normalizations.map(([suffix, normalization]) => ({
        file,
        size,
        normalization,
        expected: entries[`${size}_${suffix}`]!,
      })),
    ),
  );

  test.each(cases)('$file $size $normalization', ({ file, size, normalization, expected }) => {
    const [height, width] = size.split('x').map(Number) as [number, number];
    const values = preprocessImage(stored(`${file}|rgb`), [height, width], normalization);
    const pixels = height * width;
    const channels = [0, 1, 2].map((channel) => values.subarray(channel * pixels, (channel + 1) * pixels));
    expectStatistics(channels, expected);
    expect(channels.map((channel) => Array.from(channel.subarray(0, 4)))).toEqual(expected.first4);
    expect(Math.min(...channels.map((channel) => channel.reduce((a, b) => Math.min(a, b))))).toBe(
      expected.min,
    );
    expect(Math.max(...channels.map((channel) => channel.reduce((a, b) => Math.max(a, b))))).toBe(
      expected.max,
    );
  });

  const squares = Object.entries(reference.images).flatMap(([file, entries]) => {
    const expected = entries['clip_preprocess_224'];
    return expected === undefined ? [] : [{ file, expected }];
  });

  test.each(squares)('$file as plain CLIP sees it', ({ file, expected }) => {
    const square = resizeAndCrop(stored(`${file}|rgb`), 224);
    expect([square.width, square.height]).toEqual([224, 224]);
    const values = normalizeImage(square, 'clip');
    expectStatistics(
      [0, 1, 2].map((channel) => values.subarray(channel * 224 * 224, (channel + 1) * 224 * 224)),
      expected,
    );
  });
});

function expectStatistics(channels: readonly Float32Array[], expected: Statistics): void {
  for (const [index, channel] of channels.entries()) {
    const mean = channel.reduce((sum, value) => sum + value, 0) / channel.length;
    const variance = channel.reduce((sum, value) => sum + (value - mean) ** 2, 0) / channel.length;
    expect(mean).toBeCloseTo(expected.mean[index]!, 9);
    expect(Math.sqrt(variance)).toBeCloseTo(expected.std[index]!, 9);
  }
}

describe('odd images', () => {
  const grey = (width: number, height: number): RgbImage => ({
    width,
    height,
    data: new Uint8Array(width * height * 3).fill(77),
  });

  test.each([
    [1, 1],
    [20_000, 10],
    [10, 20_000],
    [1, 500],
  ])('%i x %i of one colour stays of that colour', (width, height) => {
    const { data } = resizeBicubic(grey(width, height), 32, 128);
    expect(data.length).toBe(32 * 128 * 3);
    expect(data.every((value) => value === 77)).toBe(true);
  });
});
