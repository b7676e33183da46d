import { describe, expect, test } from '@jest/globals';
import { resizeAndCrop } from '../model/image.js';
import { type ImageInput, resolveImage } from '../model/image_input.js';
import { resizeBicubic } from '../model/resize.js';

const size = [4, 6] as const;

describe('an image given to a reader', () => {
  test('is taken as it is when it is right', async () => {
    const rgb = { width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
    const normalized = { normalized: new Float32Array(72) };
    expect(await resolveImage(rgb, 0, size)).toBe(rgb);
    expect(await resolveImage(normalized, 0, size)).toBe(normalized);
  });

  test.each<[string, unknown, RegExp]>([
    [
      'pixels with alpha',
      { width: 2, height: 1, data: new Uint8Array(8) },
      /^image 3: has 8 bytes for 2x1 pixels/,
    ],
    ['no pixels', { width: 0, height: 0, data: new Uint8Array(0) }, /^image 3: has 0 bytes for 0x0/],
    ['a side that is no number', { width: NaN, height: 1, data: new Uint8Array(3) }, /^image 3: .* NaNx1/],
    ['half a pixel', { width: 1.5, height: 2, data: new Uint8Array(9) }, /^image 3: /],
    ['another size', { normalized: new Float32Array(3) }, /^image 3: has 3 normalised values; .* \[3,4,6\]/],
    ['NaN', { normalized: new Float32Array(72).fill(NaN) }, /^image 3: .* not finite/],
    ['infinity', { normalized: new Float32Array(72).fill(Infinity) }, /^image 3: .* not finite/],
    ['a path', 'word.png', /^image 3: is String; give the bytes/],
    ['nothing', undefined, /^image 3: is Undefined; give the bytes/],
    ['an empty object', {}, /^image 3: is Object; give the bytes/],
    ['floats alone', new Float32Array(72), /^image 3: is Float32Array; give the bytes/],
    ['no data', { width: 2, height: 1, data: undefined }, /^image 3: its data is Undefined/],
    [
      'floats for bytes',
      { width: 2, height: 1, data: new Float32Array(6) },
      /^image 3: its data is Float32Array/,
    ],
    ['no normalised values', { normalized: undefined }, /^image 3: its normalized values are Undefined/],
    [
      'normalised bytes',
      { normalized: new Uint8Array(72) },
      /^image 3: its normalized values are Uint8Array/,
    ],
    ['bytes of something else', Uint8Array.of(1, 2, 3), /^image 3: not an image/],
  ])('is refused with %s', async (_, input, message) => {
    await expect(resolveImage(input as ImageInput, 2, size)).rejects.toThrow(message);
  });
});

describe('a part of a resized image', () => {
  const image = {
    width: 61,
    height: 23,
    data: Uint8Array.from({ length: 61 * 23 * 3 }, (_, index) => (index * 7919) % 251),
  };

  test.each([
    [40, 100],
    [23, 61],
    [23, 90],
    [9, 61],
    [5, 7],
  ])('of %i x %i equals that part of the whole', (height, width) => {
    const whole = resizeBicubic(image, height, width);
    const rows = { start: 2, length: height - 4 };
    const columns = { start: 1, length: width - 3 };
    const part = resizeBicubic(image, height, width, { rows, columns });
    const expected = Array.from({ length: rows.length }, (_, row) => {
      const from = ((rows.start + row) * width + columns.start) * 3;
      return [...whole.data.subarray(from, from + columns.length * 3)];
    }).flat();
    expect([part.height, part.width]).toEqual([rows.length, columns.length]);
    expect([...part.data]).toEqual(expected);
  });

  test('of a very long image takes no more memory than it has pixels', () => {
    const long = { width: 60_000, height: 1, data: new Uint8Array(180_000).fill(9) };
    const square = resizeAndCrop(long, 224);
    expect(square.data.length).toBe(224 * 224 * 3);
    expect(new Set(square.data)).toEqual(new Set([9]));
  });
});
