/** Smooth noise, the stuff of walls, wood, metal and leaves. */
import type { RandomSource } from '../rand_augment_noise.js';

/**
 * Values from 0 to 1 that change smoothly, `[height, width]`: chance decides on a grid, between its points it is
 * interpolated.
 * @param cellWidth of the grid, in pixels
 */
export function smoothNoise(
  random: RandomSource,
  width: number,
  height: number,
  cellWidth: number,
  cellHeight: number,
): Float32Array {
  const columns = Math.ceil(width / cellWidth) + 2;
  const rows = Math.ceil(height / cellHeight) + 2;
  const grid = Float32Array.from({ length: columns * rows }, () => random.next());
  const [offsetX, offsetY] = [random.next(), random.next()];
  const cell = new Int32Array(width);
  const weight = new Float32Array(width);
  for (let x = 0; x < width; x++) {
    const position = x / cellWidth + offsetX;
    cell[x] = Math.floor(position);
    weight[x] = eased(position - cell[x]!);
  }
  const values = new Float32Array(width * height);
  const line = new Float32Array(columns);
  for (let y = 0; y < height; y++) {
    const position = y / cellHeight + offsetY;
    const row = Math.floor(position);
    const down = eased(position - row);
    for (let column = 0; column < columns; column++) {
      const above = grid[row * columns + column]!;
      line[column] = above + (grid[(row + 1) * columns + column]! - above) * down;
    }
    for (let x = 0; x < width; x++) {
      const left = line[cell[x]!]!;
      values[y * width + x] = left + (line[cell[x]! + 1]! - left) * weight[x]!;
    }
  }
  return values;
}

/** Noise of several sizes added up, each half the size of the one before and weaker; around 0, mostly from -1 to 1. */
export function layeredNoise(
  random: RandomSource,
  width: number,
  height: number,
  cellWidth: number,
  cellHeight: number,
  layers: number,
): Float32Array {
  const sum = new Float32Array(width * height);
  let [strength, across, down] = [1, cellWidth, cellHeight];
  for (let layer = 0; layer < layers; layer++) {
    const values = smoothNoise(random, width, height, Math.max(across, 1), Math.max(down, 1));
    for (let i = 0; i < sum.length; i++) sum[i]! += strength * 2 * (values[i]! - 0.5);
    strength *= 0.6;
    across /= 2;
    down /= 2;
  }
  return sum;
}

function eased(t: number): number {
  return t * t * (3 - 2 * t);
}
