/** Blurs of planes of values, `[height, width]`; beyond the border the nearest value goes on. */
import { clamp } from './choices.js';
import type { Mask } from './coverage.js';

/** From this deviation on, in pixels, three running means are as good as a Gaussian and take the same time for any size. */
const wide = 2.5;

/** Gaussian blur. */
export function gaussianBlur(
  values: Float32Array,
  width: number,
  height: number,
  deviation: number,
): Float32Array {
  if (deviation < 0.2) return values;
  return deviation < wide
    ? narrowBlur(values, width, height, deviation)
    : wideBlur(values, width, height, deviation);
}

function narrowBlur(values: Float32Array, width: number, height: number, deviation: number): Float32Array {
  const radius = Math.ceil(2.3 * deviation);
  const weights = Float32Array.from({ length: radius + 1 }, (_, i) =>
    Math.exp(-(i * i) / (2 * deviation ** 2)),
  );
  const total = 2 * weights.reduce((sum, weight) => sum + weight, 0) - 1;
  for (let i = 0; i <= radius; i++) weights[i]! /= total;
  const across = new Float32Array(values.length);
  const line = new Float32Array(width + 2 * radius);
  for (let start = 0; start < values.length; start += width) {
    line.fill(values[start]!, 0, radius);
    line.set(values.subarray(start, start + width), radius);
    line.fill(values[start + width - 1]!, radius + width);
    for (let column = 0; column < width; column++) {
      const middle = column + radius;
      let sum = weights[0]! * line[middle]!;
      for (let i = 1; i <= radius; i++) sum += weights[i]! * (line[middle - i]! + line[middle + i]!);
      across[start + column] = sum;
    }
  }
  const result = new Float32Array(values.length);
  for (let row = 0; row < height; row++) {
    const to = row * width;
    const middleWeight = weights[0]!;
    for (let column = 0; column < width; column++) result[to + column] = middleWeight * across[to + column]!;
    for (let i = 1; i <= radius; i++) {
      const weight = weights[i]!;
      const above = Math.max(row - i, 0) * width;
      const below = Math.min(row + i, height - 1) * width;
      for (let column = 0; column < width; column++) {
        result[to + column]! += weight * (across[above + column]! + across[below + column]!);
      }
    }
  }
  return result;
}

function wideBlur(values: Float32Array, width: number, height: number, deviation: number): Float32Array {
  // Three boxes of 2r + 1 have together the variance r (r + 1).
  const radius = Math.max(1, Math.round(Math.sqrt(deviation ** 2 + 0.25) - 0.5));
  const [from, to] = [values.slice(), new Float32Array(values.length)];
  for (let pass = 0; pass < 3; pass++) {
    for (let row = 0; row < height; row++) runningMean(from, to, row * width, 1, width, radius);
    for (let column = 0; column < width; column++) runningMean(to, from, column, width, height, radius);
  }
  return from;
}

/** Means of each value of a row or column and those up to `radius` away. */
function runningMean(
  from: Float32Array,
  to: Float32Array,
  start: number,
  stride: number,
  length: number,
  radius: number,
): void {
  const last = length - 1;
  let sum = 0;
  for (let i = -radius; i <= radius; i++) sum += from[start + stride * Math.min(Math.max(i, 0), last)]!;
  const scale = 1 / (2 * radius + 1);
  for (let i = 0; i < length; i++) {
    to[start + stride * i] = sum * scale;
    sum +=
      from[start + stride * Math.min(i + radius + 1, last)]! -
      from[start + stride * Math.max(i - radius, 0)]!;
  }
}

/** Mean of the values along a straight line through each place: the camera or the sign moved. */
export function motionBlur(
  values: Float32Array,
  width: number,
  height: number,
  length: number,
  angle: number,
): Float32Array {
  const samples = Math.max(2, Math.ceil(length) + 1);
  const result = new Float32Array(values.length);
  for (let sample = 0; sample < samples; sample++) {
    const along = (sample / (samples - 1) - 0.5) * length;
    const [dx, dy] = [Math.round(along * Math.cos(angle)), Math.round(along * Math.sin(angle))];
    for (let row = 0; row < height; row++) {
      const from = clamp(row + dy, 0, height - 1) * width;
      for (let column = 0; column < width; column++) {
        result[row * width + column]! += values[from + clamp(column + dx, 0, width - 1)]! / samples;
      }
    }
  }
  return result;
}

/** The mask moved by whole pixels; nothing comes in from outside. */
export function shifted({ width, height, values }: Mask, dx: number, dy: number): Mask {
  const moved = new Float32Array(values.length);
  for (let row = Math.max(0, dy); row < Math.min(height, height + dy); row++) {
    const from = (row - dy) * width;
    const firstColumn = Math.max(0, dx);
    const lastColumn = Math.min(width, width + dx);
    if (lastColumn > firstColumn) {
      moved.set(values.subarray(from + firstColumn - dx, from + lastColumn - dx), row * width + firstColumn);
    }
  }
  return { width, height, values: moved };
}

export function blurred({ width, height, values }: Mask, deviation: number): Mask {
  return { width, height, values: gaussianBlur(values, width, height, deviation) };
}

/** Where either of two masks of the same size covers. */
export function union(first: Mask, second: Mask): Mask {
  const values = first.values.slice();
  for (let i = 0; i < values.length; i++) if (second.values[i]! > values[i]!) values[i] = second.values[i]!;
  return { ...first, values };
}

/** Where the first of two masks covers and the second does not. */
export function without(first: Mask, second: Mask): Mask {
  const values = first.values.slice();
  for (let i = 0; i < values.length; i++) values[i]! *= 1 - second.values[i]!;
  return { ...first, values };
}
