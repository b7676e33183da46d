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
  const { width, height } = image;
  const radians = (-angle * Math.PI) / 180;
  const cosine = roundTo15Digits(Math.cos(radians));
  const sine = roundTo15Digits(Math.sin(radians));
  // The transform leads from a point of the output to the point of the input that it shows.
  const shiftX = width / 2 - (cosine * width) / 2 - (sine * height) / 2;
  const shiftY = height / 2 + (sine * width) / 2 - (cosine * height) / 2;
  const sourceX = (x: number, y: number) => cosine * x + sine * y + shiftX;
  const sourceY = (x: number, y: number) => -sine * x + cosine * y + shiftY;

  const corners = [
    [0, 0],
    [width, 0],
    [width, height],
    [0, height],
  ] as const;
  const xs = corners.map(([x, y]) => sourceX(x, y));
  const ys = corners.map(([x, y]) => sourceY(x, y));
  const newWidth = Math.ceil(Math.max(...xs)) - Math.floor(Math.min(...xs));
  const newHeight = Math.ceil(Math.max(...ys)) - Math.floor(Math.min(...ys));
  const marginX = -(newWidth - width) / 2;
  const marginY = -(newHeight - height) / 2;

  const toFixed = (value: number) => Math.floor(value * 2 ** coordinateBits + 0.5);
  const fixedCosine = toFixed(cosine);
  const fixedSine = toFixed(sine);
  const fixedMinusSine = toFixed(-sine);
  const startX = toFixed(sourceX(marginX, marginY) + (cosine + sine) / 2);
  const startY = toFixed(sourceY(marginX, marginY) + (cosine - sine) / 2);
  return gather(image, newWidth, newHeight, (x, y) => [
    (startX + fixedCosine * x + fixedSine * y) >> coordinateBits,
    (startY + fixedMinusSine * x + fixedCosine * y) >> coordinateBits,
  ]);
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
