import type { RgbImage } from '../../model/rgb_image.js';

/** Box blurs in a row that come near a Gaussian (Wells 1986; "extended box": Gwosdek and others 2011). */
const passes = 3;
/** Pillow's fixed-point weights; sums stay below 2^32, so they are kept as unsigned 32-bit numbers. */
const weightBits = 24;

/**
 * Pillow's `ImageFilter.GaussianBlur`, to the bit: three box blurs of a fractional radius along the rows, then along the
 * columns; pixels at the edges repeat outward.
 *
 * @param image `[height, width, 3]`, u8.
 * @param radius standard deviation in pixels; 0 leaves the image as it is.
 */
export function gaussianBlur(image: RgbImage, radius: number): RgbImage {
  if (radius === 0) return image;
  const { width, height } = image;
  const box = boxOf(radius);
  const data = Uint8Array.from(image.data);
  const length = Math.max(width, height);
  const line = new Uint8Array(length);
  const blurred = new Uint8Array(length);
  for (let row = 0; row < height; row++) {
    for (let channel = 0; channel < 3; channel++) {
      blurLine(data, row * width * 3 + channel, 3, width, box, line, blurred);
    }
  }
  for (let start = 0; start < width * 3; start++) {
    blurLine(data, start, width * 3, height, box, line, blurred);
  }
  return { width, height, data };
}

interface Box {
  /** Whole pixels on each side of the middle. */
  readonly reach: number;
  /** Of each pixel within reach, in fixed point. */
  readonly weight: number;
  /** Of the one pixel beyond, on either side. */
  readonly edgeWeight: number;
}

/** The box of which `passes` make the wanted deviation. */
function boxOf(deviation: number): Box {
  const f = Math.fround;
  const variance = f(f(deviation * deviation) / passes);
  const idealLength = f(Math.sqrt(12 * variance + 1));
  const whole = f(Math.floor((idealLength - 1) / 2));
  const numerator = f(f(2 * whole + 1) * f(f(whole * f(whole + 1)) - f(3 * variance)));
  const denominator = f(6 * f(variance - f(f(whole + 1) * f(whole + 1))));
  const boxRadius = f(whole + f(numerator / denominator));
  const reach = Math.trunc(boxRadius);
  const weight = Math.trunc(f(2 ** weightBits / f(f(boxRadius * 2) + 1)));
  const edgeWeight = Math.trunc((2 ** weightBits - (reach * 2 + 1) * weight) / 2);
  return { reach, weight, edgeWeight };
}

/** Blurs `count` bytes, `stride` apart, in place. @param line,blurred room for `count` bytes each */
function blurLine(
  data: Uint8Array,
  start: number,
  stride: number,
  count: number,
  { reach, weight, edgeWeight }: Box,
  line: Uint8Array,
  blurred: Uint8Array,
): void {
  let from = line;
  let to = blurred;
  for (let index = 0, at = start; index < count; index++, at += stride) from[index] = data[at]!;
  const last = count - 1;
  for (let pass = 0; pass < passes; pass++) {
    const first = from[0]!;
    const final = from[last]!;
    let sum = first * (reach + 1);
    for (let index = 1; index <= reach; index++) sum += index <= last ? from[index]! : final;
    for (let index = 0; index < count; index++) {
      const before = index - reach - 1;
      const after = index + reach + 1;
      const left = before < 0 ? first : from[before]!;
      const right = after > last ? final : from[after]!;
      const leaving = before + 1 < 0 ? first : from[before + 1]!;
      const value = sum * weight + (left + right) * edgeWeight + 2 ** (weightBits - 1);
      to[index] = value >>> weightBits;
      sum += right - leaving;
    }
    [from, to] = [to, from];
  }
  for (let index = 0, at = start; index < count; index++, at += stride) data[at] = from[index]!;
}
