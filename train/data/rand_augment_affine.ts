import type { RgbImage } from '../../model/rgb_image.js';
import { type AffineMatrix, expandedRotation } from './rotation.js';

/** Operations that move pixels, as Pillow's `Image.transform` and `Image.rotate`; what comes from outside is mid-grey. */

export type Interpolation = 'bilinear' | 'bicubic';

const outsideLevel = 128;

/**
 * Rotates counter-clockwise on a canvas that holds all of the image.
 * @param image `[height, width, 3]`, u8.
 */
export function rotate(image: RgbImage, degrees: number, interpolation: Interpolation): RgbImage {
  const angle = ((degrees % 360) + 360) % 360;
  if (angle === 0) return image;
  const { width, height, matrix } = expandedRotation(image, angle);
  return transform(image, matrix, width, height, interpolation);
}

/** Shows at each point what lies `factor` times its height further right. */
export function shearX(image: RgbImage, factor: number, interpolation: Interpolation): RgbImage {
  return transform(image, [1, factor, 0, 0, 1, 0], image.width, image.height, interpolation);
}

/** Shows at each point what lies `factor` times its distance from the left further down. */
export function shearY(image: RgbImage, factor: number, interpolation: Interpolation): RgbImage {
  return transform(image, [1, 0, 0, factor, 1, 0], image.width, image.height, interpolation);
}

/** Shows at each point what lies `fraction` of the width further right. */
export function translateX(image: RgbImage, fraction: number, interpolation: Interpolation): RgbImage {
  return transform(image, [1, 0, fraction * image.width, 0, 1, 0], image.width, image.height, interpolation);
}

/** Shows at each point what lies `fraction` of the height further down. */
export function translateY(image: RgbImage, fraction: number, interpolation: Interpolation): RgbImage {
  return transform(image, [1, 0, 0, 0, 1, fraction * image.height], image.width, image.height, interpolation);
}

/** @param matrix leads from the output's points into the image */
function transform(
  image: RgbImage,
  [a, b, c, d, e, f]: AffineMatrix,
  width: number,
  height: number,
  interpolation: Interpolation,
): RgbImage {
  const interpolate = interpolation === 'bilinear' ? interpolateBilinear : interpolateBicubic;
  const output = new Uint8ClampedArray(width * height * 3).fill(outsideLevel);
  let at = 0;
  for (let row = 0.5; row < height; row++) {
    for (let column = 0.5; column < width; column++, at += 3) {
      const x = a * column + b * row + c;
      const y = d * column + e * row + f;
      if (x >= 0 && x < image.width && y >= 0 && y < image.height) interpolate(image, x, y, output, at);
    }
  }
  return { width, height, data: new Uint8Array(output.buffer) };
}

function clamp(index: number, size: number): number {
  return index < 0 ? 0 : index >= size ? size - 1 : index;
}

/** Writes the image's colour at a point, digits cut off as Pillow does; rows and columns go on beyond the edges. */
function interpolateBilinear(
  { width, height, data }: RgbImage,
  x: number,
  y: number,
  output: Uint8ClampedArray,
  at: number,
): void {
  const column = Math.floor(x - 0.5);
  const row = Math.floor(y - 0.5);
  const right = x - 0.5 - column;
  const down = y - 0.5 - row;
  const upper = clamp(row, height) * width;
  const lower = clamp(row + 1, height) * width;
  const first = clamp(column, width);
  const second = clamp(column + 1, width);
  const upperLeft = (upper + first) * 3;
  const upperRight = (upper + second) * 3;
  const lowerLeft = (lower + first) * 3;
  const lowerRight = (lower + second) * 3;
  for (let channel = 0; channel < 3; channel++) {
    const above = mix(data[upperLeft + channel]!, data[upperRight + channel]!, right);
    const below = mix(data[lowerLeft + channel]!, data[lowerRight + channel]!, right);
    output[at + channel] = Math.trunc(mix(above, below, down));
  }
}

function mix(from: number, to: number, fraction: number): number {
  return from + (to - from) * fraction;
}

function interpolateBicubic(
  { width, height, data }: RgbImage,
  x: number,
  y: number,
  output: Uint8ClampedArray,
  at: number,
): void {
  const column = Math.floor(x - 0.5);
  const row = Math.floor(y - 0.5);
  const right = x - 0.5 - column;
  const down = y - 0.5 - row;
  const c0 = clamp(column - 1, width) * 3;
  const c1 = clamp(column, width) * 3;
  const c2 = clamp(column + 1, width) * 3;
  const c3 = clamp(column + 2, width) * 3;
  const r0 = clamp(row - 1, height) * width * 3;
  const r1 = clamp(row, height) * width * 3;
  const r2 = clamp(row + 1, height) * width * 3;
  const r3 = clamp(row + 2, height) * width * 3;
  for (let n = 0; n < 3; n++) {
    const v0 = cubic(data[r0 + c0 + n]!, data[r0 + c1 + n]!, data[r0 + c2 + n]!, data[r0 + c3 + n]!, right);
    const v1 = cubic(data[r1 + c0 + n]!, data[r1 + c1 + n]!, data[r1 + c2 + n]!, data[r1 + c3 + n]!, right);
    const v2 = cubic(data[r2 + c0 + n]!, data[r2 + c1 + n]!, data[r2 + c2 + n]!, data[r2 + c3 + n]!, right);
    const v3 = cubic(data[r3 + c0 + n]!, data[r3 + c1 + n]!, data[r3 + c2 + n]!, data[r3 + c3 + n]!, right);
    output[at + n] = Math.trunc(cubic(v0, v1, v2, v3, down));
  }
}

/** Keys' cubic convolution with a = -1, between the second and the third of four neighbours. */
function cubic(v1: number, v2: number, v3: number, v4: number, fraction: number): number {
  const linear = -v1 + v3;
  const square = 2 * (v1 - v2) + v3 - v4;
  const cube = -v1 + v2 - v3 + v4;
  return v2 + fraction * (linear + fraction * (square + fraction * cube));
}
