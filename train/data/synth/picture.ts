/** A picture while it is painted: red, green and blue as floats, `[height, width]` each, 0 to 255. */
import type { RgbImage } from '../../../model/rgb_image.js';
import type { Colour } from './colours.js';
import type { Mask } from './coverage.js';

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly planes: readonly [Float32Array, Float32Array, Float32Array];
}

export function newPicture(width: number, height: number, [red, green, blue]: Colour): Picture {
  const plane = (value: number): Float32Array => new Float32Array(width * height).fill(value);
  return { width, height, planes: [plane(red), plane(green), plane(blue)] };
}

/** What a pixel is painted with: one colour everywhere, or a picture of the same size. */
export type Paint = Colour | Picture;

/** Paints through a mask; `opacity` 1 hides what was there. */
export function paint(picture: Picture, mask: Mask, paintWith: Paint, opacity = 1): void {
  const { values } = mask;
  for (const [channel, plane] of picture.planes.entries()) {
    if ('planes' in paintWith) {
      const colours = paintWith.planes[channel]!;
      for (let i = 0; i < plane.length; i++) plane[i]! += (colours[i]! - plane[i]!) * values[i]! * opacity;
    } else {
      const colour = paintWith[channel]!;
      for (let i = 0; i < plane.length; i++) plane[i]! += (colour - plane[i]!) * values[i]! * opacity;
    }
  }
}

/** Brightness as the eye weighs the three colours, `[height, width]`. */
export function lumaOf({ planes: [red, green, blue] }: Picture): Float32Array {
  const values = new Float32Array(red.length);
  for (let i = 0; i < values.length; i++) values[i] = 0.299 * red[i]! + 0.587 * green[i]! + 0.114 * blue[i]!;
  return values;
}

/** Mean and standard deviation of values, weighted by a mask. */
export function statisticsOf(values: Float32Array, mask: Mask): { mean: number; deviation: number } {
  let [weight, sum, squares] = [0, 0, 0];
  for (let i = 0; i < values.length; i++) {
    const coverage = mask.values[i]!;
    const value = values[i]!;
    weight += coverage;
    sum += coverage * value;
    squares += coverage * value * value;
  }
  if (weight === 0) return { mean: 0, deviation: 0 };
  const mean = sum / weight;
  return { mean, deviation: Math.sqrt(Math.max(0, squares / weight - mean * mean)) };
}

/** 8-bit pixels, rounded. */
export function toRgbImage({ width, height, planes: [red, green, blue] }: Picture): RgbImage {
  const data = new Uint8Array(3 * width * height);
  const clamped = new Uint8ClampedArray(data.buffer);
  for (let i = 0; i < width * height; i++) {
    clamped[3 * i] = red[i]!;
    clamped[3 * i + 1] = green[i]!;
    clamped[3 * i + 2] = blue[i]!;
  }
  return { width, height, data };
}
