import type { RgbImage } from './rgb_image.js';

/** Fraction bits of a weight: Pillow's, which leave room for a byte and for the overshoot of bicubic weights in 32 bits. */
const weightBits = 32 - 8 - 2;
/** Neighbours on each side that bicubic interpolation looks at when it does not shrink. */
const bicubicSupport = 2;

/** Part of one axis of the result: positions `start` to `start + length`. */
export interface AxisWindow {
  readonly start: number;
  readonly length: number;
}

/**
 * Pillow's bicubic resize of 8-bit pixels, to the bit: weights widened when shrinking (antialiasing), in fixed point; rows
 * first, then columns, rounded to bytes between the two. An image that already has the size is returned as it is.
 *
 * @param image `[height, width, 3]`, u8.
 * @param window the part of the result that is wanted, all unless given: the rest is not computed.
 * @returns `[newHeight, newWidth, 3]`, u8, or the window of it.
 */
export function resizeBicubic(
  image: RgbImage,
  newHeight: number,
  newWidth: number,
  window: { readonly rows: AxisWindow; readonly columns: AxisWindow } = {
    rows: { start: 0, length: newHeight },
    columns: { start: 0, length: newWidth },
  },
): RgbImage {
  const across = unchanged(image.width, newWidth, window.columns)
    ? image
    : resizeRows(image, newWidth, window.columns);
  return unchanged(image.height, newHeight, window.rows)
    ? across
    : resizeColumns(across, newHeight, window.rows);
}

/** Pillow leaves an axis alone that keeps its size. Its weights are then one 1 each, so a part of it is exact as well. */
function unchanged(size: number, newSize: number, { length }: AxisWindow): boolean {
  return size === newSize && length === newSize;
}

/** For each output position along one axis: the first input position that counts and the weights from there on. */
interface AxisWeights {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** `[output, stride]`, fixed point. */
  readonly weights: Int32Array;
  readonly stride: number;
}

function axisWeights(inputSize: number, outputSize: number, window: AxisWindow): AxisWeights {
  const scale = inputSize / outputSize;
  const filterScale = Math.max(scale, 1);
  const support = bicubicSupport * filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(window.length);
  const count = new Int32Array(window.length);
  const weights = new Int32Array(window.length * stride);
  const exact = new Float64Array(stride);
  for (let output = 0; output < window.length; output++) {
    const center = (window.start + output + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(inputSize, Math.trunc(center + support + 0.5));
    let sum = 0;
    for (let input = start; input < end; input++) {
      const weight = bicubic((input - center + 0.5) * (1 / filterScale));
      exact[input - start] = weight;
      sum += weight;
    }
    for (let index = 0; index < end - start; index++) {
      const normalized = sum === 0 ? exact[index]! : exact[index]! / sum;
      const scaled = normalized * 2 ** weightBits;
      weights[output * stride + index] = Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    }
    first[output] = start;
    count[output] = end - start;
  }
  return { first, count, weights, stride };
}

/** Keys' cubic convolution with a = -0.5. */
function bicubic(distance: number): number {
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/** Half of the last bit that is kept, so that the shift rounds. */
const roundingTerm = 1 << (weightBits - 1);

function resizeRows({ width, height, data }: RgbImage, newWidth: number, window: AxisWindow): RgbImage {
  const { first, count, weights, stride } = axisWeights(width, newWidth, window);
  const output = new Uint8ClampedArray(window.length * height * 3);
  let at = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < window.length; column++) {
      let red = roundingTerm;
      let green = roundingTerm;
      let blue = roundingTerm;
      let from = (row * width + first[column]!) * 3;
      const start = column * stride;
      const end = start + count[column]!;
      for (let index = start; index < end; index++, from += 3) {
        const weight = weights[index]!;
        red += data[from]! * weight;
        green += data[from + 1]! * weight;
        blue += data[from + 2]! * weight;
      }
      output[at++] = red >> weightBits;
      output[at++] = green >> weightBits;
      output[at++] = blue >> weightBits;
    }
  }
  return { width: window.length, height, data: new Uint8Array(output.buffer) };
}

function resizeColumns({ width, height, data }: RgbImage, newHeight: number, window: AxisWindow): RgbImage {
  const { first, count, weights, stride } = axisWeights(height, newHeight, window);
  const rowBytes = width * 3;
  const output = new Uint8ClampedArray(rowBytes * window.length);
  const sums = new Int32Array(rowBytes);
  for (let row = 0; row < window.length; row++) {
    sums.fill(roundingTerm);
    addRows(sums, data, first[row]! * rowBytes, weights.subarray(row * stride, row * stride + count[row]!));
    for (let byte = 0; byte < rowBytes; byte++) output[row * rowBytes + byte] = sums[byte]! >> weightBits;
  }
  return { width, height: window.length, data: new Uint8Array(output.buffer) };
}

/** Adds to each sum the bytes of its column, from `start` on one a weight. */
function addRows(sums: Int32Array, data: Uint8Array, start: number, weights: Int32Array): void {
  const rowBytes = sums.length;
  let index = 0;
  let from = start;
  // Four at a time, the sums are read and written a fourth as often.
  for (; index + 4 <= weights.length; index += 4, from += 4 * rowBytes) {
    const [w0, w1, w2, w3] = [weights[index]!, weights[index + 1]!, weights[index + 2]!, weights[index + 3]!];
    for (let byte = 0, at = from; byte < rowBytes; byte++, at++) {
      sums[byte] =
        (sums[byte]! +
          Math.imul(data[at]!, w0) +
          Math.imul(data[at + rowBytes]!, w1) +
          Math.imul(data[at + 2 * rowBytes]!, w2) +
          Math.imul(data[at + 3 * rowBytes]!, w3)) |
        0;
    }
  }
  for (; index < weights.length; index++, from += rowBytes) {
    const weight = weights[index]!;
    for (let byte = 0; byte < rowBytes; byte++) sums[byte]! += Math.imul(data[from + byte]!, weight);
  }
}
