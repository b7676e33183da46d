/** The geometry of Pillow's rotation. */
import type { RgbImage } from '../../model/rgb_image.js';

/** Leads from a point of a transform's output to the point of its input that it shows: x' = a x + b y + c, y' = d x + e y + f. */
export type AffineMatrix = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

function applyAffine([a, b, c, d, e, f]: AffineMatrix, x: number, y: number): [number, number] {
  return [a * x + b * y + c, d * x + e * y + f];
}

/**
 * The canvas that holds the whole of an image rotated counter-clockwise about its middle, as Pillow lays it.
 *
 * @returns the canvas' size, and the matrix that leads from it into the image.
 */
export function expandedRotation(
  { width, height }: Pick<RgbImage, 'width' | 'height'>,
  degrees: number,
): { readonly width: number; readonly height: number; readonly matrix: AffineMatrix } {
  const radians = (-degrees * Math.PI) / 180;
  const cosine = roundTo15Digits(Math.cos(radians));
  const sine = roundTo15Digits(Math.sin(radians));
  const [middleX, middleY] = applyAffine([cosine, sine, 0, -sine, cosine, 0], -width / 2, -height / 2);
  const sameSize: AffineMatrix = [cosine, sine, middleX + width / 2, -sine, cosine, middleY + height / 2];

  const corners = [
    [0, 0],
    [width, 0],
    [width, height],
    [0, height],
  ] as const;
  const mapped = corners.map(([x, y]) => applyAffine(sameSize, x, y));
  const extent = (values: number[]) => Math.ceil(Math.max(...values)) - Math.floor(Math.min(...values));
  const newWidth = extent(mapped.map(([x]) => x));
  const newHeight = extent(mapped.map(([, y]) => y));
  const [shiftX, shiftY] = applyAffine(sameSize, -(newWidth - width) / 2, -(newHeight - height) / 2);
  return { width: newWidth, height: newHeight, matrix: [cosine, sine, shiftX, -sine, cosine, shiftY] };
}

function roundTo15Digits(value: number): number {
  return Number(value.toFixed(15));
}
