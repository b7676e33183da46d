/**
 * What JPEG does to a picture: blocks of 8 x 8 cosines, each rounded to a multiple that grows with its frequency. The
 * lossless coding that follows in a file changes nothing and is left out, which makes this several times faster than
 * writing and reading a file. Tables: ITU-T T.81, annex K; colour: JFIF.
 */
import type { RgbImage } from '../../../model/rgb_image.js';

const block = 8;

const lumaSteps = [
  16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22,
  29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103,
  121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];

/** The steps of the lower frequencies; all others are 99. */
const chromaSteps = [
  [17, 18, 24, 47],
  [18, 21, 26, 66],
  [24, 26, 56],
  [47, 66],
];
const chromaStepElsewhere = 99;

/** Half of the cosines' length, which makes the transform orthonormal. */
const [c1, c2, c3, c4, c5, c6, c7] = [1, 2, 3, 4, 5, 6, 7].map((k) => 0.5 * Math.cos((k * Math.PI) / 16)) as [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];

/**
 * The picture as it comes back from a JPEG file.
 * @param quality 1 to 100, as libjpeg counts it
 * @param halvedColour whether colour is stored at half the resolution, as most cameras do
 */
export function compressed(image: RgbImage, quality: number, halvedColour: boolean): RgbImage {
  const { width, height } = image;
  const step = halvedColour ? 2 : 1;
  const [colourWidth, colourHeight] = [Math.ceil(width / step), Math.ceil(height / step)];
  const { luma, blue, red } = split(image, step, colourWidth, colourHeight);
  const chroma = scaled(
    Array.from(
      { length: block * block },
      (_, i) => chromaSteps[Math.floor(i / block)]?.[i % block] ?? chromaStepElsewhere,
    ),
    quality,
  );
  roundFrequencies(luma, width, height, scaled(lumaSteps, quality));
  roundFrequencies(blue, colourWidth, colourHeight, chroma);
  roundFrequencies(red, colourWidth, colourHeight, chroma);
  const data = new Uint8Array(3 * width * height);
  const clamped = new Uint8ClampedArray(data.buffer);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      const colour = Math.floor(y / step) * colourWidth + Math.floor(x / step);
      const [value, cb, cr] = [luma[i]! + 128, blue[colour]!, red[colour]!];
      clamped[3 * i] = value + 1.402 * cr;
      clamped[3 * i + 1] = value - 0.344136 * cb - 0.714136 * cr;
      clamped[3 * i + 2] = value + 1.772 * cb;
    }
  }
  return { width, height, data };
}

/** Brightness and two differences of colour around zero; the differences are averaged over squares of `step` pixels. */
function split(
  { width, height, data }: RgbImage,
  step: number,
  colourWidth: number,
  colourHeight: number,
): { luma: Float32Array; blue: Float32Array; red: Float32Array } {
  const luma = new Float32Array(width * height);
  const blue = new Float32Array(colourWidth * colourHeight);
  const red = new Float32Array(colourWidth * colourHeight);
  const counts = new Uint8Array(colourWidth * colourHeight);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      const [r, g, b] = [data[3 * i]!, data[3 * i + 1]!, data[3 * i + 2]!];
      const value = 0.299 * r + 0.587 * g + 0.114 * b;
      luma[i] = value - 128;
      const colour = Math.floor(y / step) * colourWidth + Math.floor(x / step);
      blue[colour]! += 0.564334 * (b - value);
      red[colour]! += 0.713267 * (r - value);
      counts[colour]!++;
    }
  }
  for (let i = 0; i < counts.length; i++) {
    blue[i]! /= counts[i]!;
    red[i]! /= counts[i]!;
  }
  return { luma, blue, red };
}

/** Steps for a quality, as libjpeg scales them. */
function scaled(steps: readonly number[], quality: number): Float32Array {
  const percent = quality < 50 ? 5000 / quality : 200 - 2 * quality;
  return Float32Array.from(steps, (step) =>
    Math.min(Math.max(Math.floor((step * percent + 50) / 100), 1), 255),
  );
}

/** Rounds the frequencies of every block, in place. Blocks that reach over the border see its values go on. */
function roundFrequencies(plane: Float32Array, width: number, height: number, steps: Float32Array): void {
  const values = new Float32Array(block * block);
  const perStep = steps.map((step) => 1 / step);
  for (let top = 0; top < height; top += block) {
    for (let left = 0; left < width; left += block) {
      for (let y = 0; y < block; y++) {
        const row = Math.min(top + y, height - 1) * width;
        for (let x = 0; x < block; x++) values[y * block + x] = plane[row + Math.min(left + x, width - 1)]!;
      }
      for (let y = 0; y < block; y++) toFrequencies(values, y * block, 1);
      for (let x = 0; x < block; x++) toFrequencies(values, x, block);
      for (let i = 0; i < values.length; i++) values[i] = Math.round(values[i]! * perStep[i]!) * steps[i]!;
      for (let x = 0; x < block; x++) fromFrequencies(values, x, block);
      for (let y = 0; y < block; y++) fromFrequencies(values, y * block, 1);
      const rows = Math.min(block, height - top);
      const columns = Math.min(block, width - left);
      for (let y = 0; y < rows; y++) {
        for (let x = 0; x < columns; x++) plane[(top + y) * width + left + x] = values[y * block + x]!;
      }
    }
  }
}

/** Discrete cosine transform of eight values, in place: sums give the even frequencies, differences the odd ones. */
function toFrequencies(v: Float32Array, start: number, stride: number): void {
  const [i1, i2, i3, i4] = [start + stride, start + 2 * stride, start + 3 * stride, start + 4 * stride];
  const [i5, i6, i7] = [start + 5 * stride, start + 6 * stride, start + 7 * stride];
  const s0 = v[start]! + v[i7]!;
  const d0 = v[start]! - v[i7]!;
  const s1 = v[i1]! + v[i6]!;
  const d1 = v[i1]! - v[i6]!;
  const s2 = v[i2]! + v[i5]!;
  const d2 = v[i2]! - v[i5]!;
  const s3 = v[i3]! + v[i4]!;
  const d3 = v[i3]! - v[i4]!;
  v[start] = c4 * (s0 + s1 + s2 + s3);
  v[i4] = c4 * (s0 - s1 - s2 + s3);
  v[i2] = c2 * (s0 - s3) + c6 * (s1 - s2);
  v[i6] = c6 * (s0 - s3) - c2 * (s1 - s2);
  v[i1] = c1 * d0 + c3 * d1 + c5 * d2 + c7 * d3;
  v[i3] = c3 * d0 - c7 * d1 - c1 * d2 - c5 * d3;
  v[i5] = c5 * d0 - c1 * d1 + c7 * d2 + c3 * d3;
  v[i7] = c7 * d0 - c5 * d1 + c3 * d2 - c1 * d3;
}

/** The inverse of {@link toFrequencies}. */
function fromFrequencies(v: Float32Array, start: number, stride: number): void {
  const [i1, i2, i3, i4] = [start + stride, start + 2 * stride, start + 3 * stride, start + 4 * stride];
  const [i5, i6, i7] = [start + 5 * stride, start + 6 * stride, start + 7 * stride];
  const sum = c4 * (v[start]! + v[i4]!);
  const difference = c4 * (v[start]! - v[i4]!);
  const outer = c2 * v[i2]! + c6 * v[i6]!;
  const inner = c6 * v[i2]! - c2 * v[i6]!;
  const d0 = c1 * v[i1]! + c3 * v[i3]! + c5 * v[i5]! + c7 * v[i7]!;
  const d1 = c3 * v[i1]! - c7 * v[i3]! - c1 * v[i5]! - c5 * v[i7]!;
  const d2 = c5 * v[i1]! - c1 * v[i3]! + c7 * v[i5]! + c3 * v[i7]!;
  const d3 = c7 * v[i1]! - c5 * v[i3]! + c3 * v[i5]! - c1 * v[i7]!;
  v[start] = sum + outer + d0;
  v[i7] = sum + outer - d0;
  v[i1] = difference + inner + d1;
  v[i6] = difference + inner - d1;
  v[i2] = difference - inner + d2;
  v[i5] = difference - inner - d2;
  v[i3] = sum - outer + d3;
  v[i4] = sum - outer - d3;
}
