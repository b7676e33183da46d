import type { RgbImage } from './rgb_image.js';

/**
 * Rotates counter-clockwise on a canvas large enough for the whole image, as Pillow's `rotate(angle, expand=True)` does:
 * nearest neighbour, black outside; multiples of 90 degrees exactly.
 *
 * @param image `[height, width, 3]`, u8.
 */
export function rotateImage(image: RgbImage, degrees: number): RgbImage {
  const angle = ((degrees % 360) + 360) % 360;
  const { width, height } = image;
  if (angle === 0) return image;
  if (angle === 180) return gather(image, width, height, (x, y) => [width - 1 - x, height - 1 - y]);
  if (angle === 90) return gather(image, height, width, (x, y) => [width - 1 - y, x]);
  if (angle === 270) return gather(image, height, width, (x, y) => [y, height - 1 - x]);
  return rotateByAnyAngle(image, angle);
}

/** Fraction bits of Pillow's fixed-point source coordinates. */
const coordinateBits = 16;

function rotateByAnyAngle(image: RgbImage, angle: number): RgbImage {
  const { width, height, matrix } = expandedRotation(image, angle);
  const [cosine, sine, , minusSine] = matrix;
  const [centerX, centerY] = applyAffine(matrix, 0.5, 0.5);

  const toFixed = (value: number) => Math.floor(value * 2 ** coordinateBits + 0.5);
  const fixedCosine = toFixed(cosine);
  const fixedSine = toFixed(sine);
  const fixedMinusSine = toFixed(minusSine);
  const startX = toFixed(centerX);
  const startY = toFixed(centerY);
  return gather(image, width, height, (x, y) => [
    (startX + fixedCosine * x + fixedSine * y) >> coordinateBits,
    (startY + fixedMinusSine * x + fixedCosine * y) >> coordinateBits,
  ]);
}

/** Leads from a point of a transform's output to the point of its input that it shows: x' = a x + b y + c, y' = d x + e y + f. */
export type AffineMatrix = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

export function applyAffine([a, b, c, d, e, f]: AffineMatrix, x: number, y: number): [number, number] {
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

/** An image whose pixel at (x, y) is the input's at `source(x, y)`, or black if that lies outside. */
function gather(
  image: RgbImage,
  width: number,
  height: number,
  source: (x: number, y: number) => readonly [number, number],
): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [fromX, fromY] = source(x, y);
      if (fromX < 0 || fromX >= image.width || fromY < 0 || fromY >= image.height) continue;
      const start = (fromY * image.width + fromX) * 3;
      data.set(image.data.subarray(start, start + 3), (y * width + x) * 3);
    }
  }
  return { width, height, data };
}
