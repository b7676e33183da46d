import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { decodeImage } from '../model/decode_image.js';
import type { RgbImage } from '../model/rgb_image.js';
import { resizeBicubic } from '../model/resize.js';
import { fixturePath, readTensorFixture } from './support/fixtures.js';
import { pngColour, pngFile, tiffFile, tiffPhotometric } from './support/image_files.js';

const tensors = readTensorFixture('preprocess/pixels.safetensors');
const files = tensors.names
  .filter((name) => name.endsWith('|rgb') && name !== 'noise|rgb')
  .map((name) => name.replace('|rgb', ''));

function readImageFile(name: string): Uint8Array {
  return readFileSync(fixturePath(`preprocess/images/${name}`));
}

function differences(actual: Uint8Array, expected: Uint8Array): { equal: number; largest: number } {
  let equal = 0;
  let largest = 0;
  for (const [index, value] of actual.entries()) {
    const difference = Math.abs(value - expected[index]!);
    if (difference === 0) equal++;
    largest = Math.max(largest, difference);
  }
  return { equal: equal / actual.length, largest };
}

async function pixels(file: Uint8Array): Promise<number[]> {
  return Array.from((await decodeImage(file)).data);
}

describe('decoding against Pillow', () => {
  test.each(files)('%s', async (file) => {
    const image = await decodeImage(readImageFile(file));
    expect([image.height, image.width, 3]).toEqual(tensors.get(`${file}|rgb`).shape);
    const decoded = differences(image.data, tensors.bytes(`${file}|rgb`));
    const sizes: [number, number][] = [
      [224, 224],
      [32, 128],
    ];
    const resized = sizes.map(([height, width]) =>
      differences(resizeBicubic(image, height, width).data, tensors.bytes(`${file}|${height}x${width}`)),
    );
    console.log(`${file}: decoded ${format(decoded)}; resized ${resized.map(format).join(', ')}`);
    expect(decoded.largest).toBeLessThanOrEqual(2);
    for (const { equal, largest } of [decoded, ...resized]) {
      expect(equal).toBeGreaterThanOrEqual(0.999);
      expect(largest).toBeLessThanOrEqual(1);
    }
  });
});

function format({ equal, largest }: { equal: number; largest: number }): string {
  return `${(equal * 100).toFixed(3)} % equal, off by at most ${largest}`;
}

describe('modes that Pillow treats in its own way', () => {
  test('alpha is dropped, not composited', async () => {
    const samples = Uint8Array.from([10, 20, 30, 0, 40, 50, 60, 128]);
    const file = pngFile({ width: 2, height: 1, bitDepth: 8, colourType: pngColour.rgba, samples });
    expect(await pixels(file)).toEqual([10, 20, 30, 40, 50, 60]);
  });

  test('grey with alpha', async () => {
    const samples = Uint8Array.from([7, 0, 200, 255]);
    const file = pngFile({ width: 2, height: 1, bitDepth: 8, colourType: pngColour.greyAlpha, samples });
    expect(await pixels(file)).toEqual([7, 7, 7, 200, 200, 200]);
  });

  test('16-bit grey is clipped', async () => {
    const levels = Uint8Array.from([0, 3, 0, 255, 1, 0, 255, 255]);
    const png = pngFile({ width: 4, height: 1, bitDepth: 16, colourType: pngColour.grey, samples: levels });
    const expected = [3, 3, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255];
    expect(await pixels(png)).toEqual(expected);
    const tiff = tiffFile({
      width: 4,
      height: 1,
      bitsPerSample: 16,
      samplesPerPixel: 1,
      photometric: tiffPhotometric.blackIsZero,
      samples: Uint8Array.from([3, 0, 255, 0, 0, 1, 255, 255]),
    });
    expect(await pixels(tiff)).toEqual(expected);
  });

  test('16-bit colour keeps its high bytes', async () => {
    const samples = Uint8Array.from([1, 255, 2, 0, 255, 128]);
    const file = pngFile({ width: 1, height: 1, bitDepth: 16, colourType: pngColour.rgb, samples });
    expect(await pixels(file)).toEqual([1, 2, 255]);
  });

  test('a palette with transparent entries keeps their colours', async () => {
    const chunks = [
      { type: 'PLTE', data: Uint8Array.from([9, 8, 7, 100, 110, 120]) },
      { type: 'tRNS', data: Uint8Array.from([0, 255]) },
    ];
    const samples = Uint8Array.from([0b01000000]);
    const file = pngFile({
      width: 2,
      height: 1,
      bitDepth: 1,
      colourType: pngColour.palette,
      samples,
      chunks,
    });
    expect(await pixels(file)).toEqual([9, 8, 7, 100, 110, 120]);
  });

  test('1, 2 and 4 bits of grey are spread over 0 to 255', async () => {
    const grey = (bitDepth: number, byte: number, width: number) =>
      pngFile({ width, height: 1, bitDepth, colourType: pngColour.grey, samples: Uint8Array.from([byte]) });
    const levels = async (file: Uint8Array) => (await pixels(file)).filter((_, index) => index % 3 === 0);
    expect(await levels(grey(1, 0b01000000, 2))).toEqual([0, 255]);
    expect(await levels(grey(2, 0b00011011, 4))).toEqual([0, 85, 170, 255]);
    expect(await levels(grey(4, 0x1f, 2))).toEqual([17, 255]);
    const tiff = tiffFile({
      width: 3,
      height: 1,
      bitsPerSample: 1,
      samplesPerPixel: 1,
      photometric: tiffPhotometric.blackIsZero,
      samples: Uint8Array.from([0b10100000]),
    });
    expect(await levels(tiff)).toEqual([255, 0, 255]);
  });

  test('CMYK is converted without a profile', async () => {
    const inks = [
      [0, 0, 0, 0],
      [255, 0, 128, 0],
      [10, 20, 30, 40],
      [0, 0, 0, 255],
    ];
    const file = tiffFile({
      width: 4,
      height: 1,
      bitsPerSample: 8,
      samplesPerPixel: 4,
      photometric: tiffPhotometric.cmyk,
      samples: Uint8Array.from(inks.flat()),
    });
    const expected = inks.flatMap(([c, m, y, k]) =>
      [c!, m!, y!].map((ink) => 255 - k! - Math.round((ink * (255 - k!)) / 255)),
    );
    expect(await pixels(file)).toEqual(expected);
  });

  test('the EXIF rotation and the colour profile are ignored', async () => {
    const source = Buffer.from(Array.from({ length: 16 * 8 * 3 }, (_, index) => (index * 7) % 256));
    const plain = sharp(source, { raw: { width: 16, height: 8, channels: 3 } });
    const rotated = await plain.clone().withMetadata({ orientation: 6 }).png().toBuffer();
    expect((await sharp(rotated).metadata()).orientation).toBe(6);
    expect(await decodeImage(rotated)).toMatchObject({ width: 16, height: 8, data: Uint8Array.from(source) });

    const profiled = await plain.clone().withIccProfile('p3').png().toBuffer();
    const untagged = await sharp(profiled, { ignoreIcc: true }).raw().toBuffer();
    expect((await sharp(profiled).metadata()).icc).toBeDefined();
    expect(await pixels(profiled)).toEqual(Array.from(untagged));
    expect(untagged.equals(source)).toBe(false);
  });

  test.each([
    ['webp', { lossless: true }],
    ['gif', {}],
    ['tiff', { compression: 'lzw' }],
    ['avif', { lossless: true }],
  ] as const)('%s files are read', async (kind, options) => {
    const source = { create: { width: 20, height: 10, channels: 3, background: '#3366cc' } } as const;
    const image = await decodeImage(await sharp(source).toFormat(kind, options).toBuffer());
    expect([image.width, image.height]).toEqual([20, 10]);
    expect(Array.from(image.data.subarray(0, 3))).toEqual([0x33, 0x66, 0xcc]);
  });
});

describe('hostile and degenerate files', () => {
  test.each([
    [1, 1],
    [20_000, 10],
    [10, 20_000],
  ])('%i x %i', async (width, height) => {
    const samples = new Uint8Array(width * height).fill(99);
    const image = await decodeImage(
      pngFile({ width, height, bitDepth: 8, colourType: pngColour.grey, samples }),
    );
    expect([image.width, image.height, image.data.length]).toEqual([width, height, width * height * 3]);
    expect(resizeBicubic(image, 32, 128).data.every((value) => value === 99)).toBe(true);
  });

  test('no bytes', async () => {
    await expect(decodeImage(new Uint8Array(0))).rejects.toThrow('the image is empty (0 bytes).');
  });

  test.each([
    'just text',
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    '%PDF-1.4',
    '\0',
  ])('not an image: %j', async (text) => {
    await expect(decodeImage(Buffer.from(text))).rejects.toThrow('not an image: expected JPEG');
  });

  test('a header that claims 30000 x 30000 is refused before decoding', async () => {
    const file = pngFile({
      width: 30_000,
      height: 30_000,
      bitDepth: 1,
      colourType: pngColour.grey,
      samples: new Uint8Array(30_000),
    });
    await expect(decodeImage(file)).rejects.toThrow(
      'the image has 30000 x 30000 pixels; at most 67108864 are read.',
    );
  });

  test('truncated files are refused, not half read', async () => {
    for (const name of ['word_444_progressive.jpg', 'word_rgb.png']) {
      const file = readImageFile(name);
      for (const part of [0.1, 0.5, 0.9]) {
        const cut = file.subarray(0, Math.floor(file.length * part));
        await expect(decodeImage(cut)).rejects.toThrow(
          /^the image cannot be decoded: it may be damaged or truncated(?: \((?!.*unknown error)[^\n]+\))?\.$/i,
        );
      }
    }
  });

  test('changed bytes give an image or an error of one line', async () => {
    let seed = 1;
    const next = (bound: number) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % bound;
    const sources = ['word_422.jpeg', 'syn_gray.png', 'tall_420_progressive.jpg'].map(readImageFile);
    let read = 0;
    for (let round = 0; round < 600; round++) {
      const file = Uint8Array.from(sources[round % sources.length]!);
      for (let change = 0; change <= next(4); change++) file[next(file.length)] = next(256);
      const outcome: RgbImage | Error = await decodeImage(file).catch((error: unknown) => error as Error);
      if (outcome instanceof Error) expect(outcome.message).toMatch(/^[^\n]+$/);
      else {
        expect(outcome.data.length).toBe(outcome.width * outcome.height * 3);
        read++;
      }
    }
    expect(read).toBeGreaterThan(0);
  });
});
