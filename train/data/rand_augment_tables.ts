import type { RgbImage } from '../../model/rgb_image.js';

/**
 * Operations that replace each byte by what a table says for it, with Pillow's arithmetic (`ImageOps`, `ImageEnhance`).
 * All take and return `[height, width, 3]`, u8, and leave their input as it is.
 */

type Table = Uint8ClampedArray;

function tableOf(replacement: (level: number) => number): Table {
  const table = new Uint8ClampedArray(256);
  // A clamped array rounds, Pillow cuts digits off.
  for (let level = 0; level < 256; level++) table[level] = Math.trunc(replacement(level));
  return table;
}

function applyTables({ width, height, data }: RgbImage, tables: readonly [Table, Table, Table]): RgbImage {
  const [red, green, blue] = tables;
  const output = new Uint8Array(data.length);
  for (let at = 0; at < data.length; at += 3) {
    output[at] = red[data[at]!]!;
    output[at + 1] = green[data[at + 1]!]!;
    output[at + 2] = blue[data[at + 2]!]!;
  }
  return { width, height, data: output };
}

function applyTable(image: RgbImage, table: Table): RgbImage {
  return applyTables(image, [table, table, table]);
}

/** How often each level occurs in one channel. */
function histogram({ data }: RgbImage, channel: number): Uint32Array {
  const counts = new Uint32Array(256);
  for (let at = channel; at < data.length; at += 3) counts[data[at]!]!++;
  return counts;
}

function applyPerChannel(image: RgbImage, tableFor: (counts: Uint32Array) => Table): RgbImage {
  const table = (channel: number) => tableFor(histogram(image, channel));
  return applyTables(image, [table(0), table(1), table(2)]);
}

const identity = tableOf((level) => level);

/** Stretches each channel so that its darkest level becomes 0 and its lightest 255. */
export function autoContrast(image: RgbImage): RgbImage {
  return applyPerChannel(image, (counts) => {
    const lowest = counts.findIndex((count) => count > 0);
    const highest = counts.findLastIndex((count) => count > 0);
    if (highest <= lowest) return identity;
    const scale = 255 / (highest - lowest);
    const offset = -lowest * scale;
    return tableOf((level) => level * scale + offset);
  });
}

/** Spreads each channel's levels so that they occur about equally often. */
export function equalize(image: RgbImage): RgbImage {
  const pixels = image.width * image.height;
  return applyPerChannel(image, (counts) => {
    const step = Math.floor((pixels - counts[counts.findLastIndex((count) => count > 0)]!) / 255);
    if (step === 0) return identity;
    let before = Math.floor(step / 2);
    return tableOf((level) => {
      const replacement = before / step;
      before += counts[level]!;
      return replacement;
    });
  });
}

const inverted = tableOf((level) => 255 - level);

export function invert(image: RgbImage): RgbImage {
  return applyTable(image, inverted);
}

/** Keeps the upper bits of each level. @param bits 0 to 8 */
export function posterize(image: RgbImage, bits: number): RgbImage {
  const mask = 256 - 2 ** (8 - bits);
  return applyTable(
    image,
    tableOf((level) => level & mask),
  );
}

/** Inverts the levels from a threshold on. @param threshold 0 to 256 */
export function solarize(image: RgbImage, threshold: number): RgbImage {
  return applyTable(
    image,
    tableOf((level) => (level < threshold ? level : 255 - level)),
  );
}

/** Lightens the dark half of the levels. @param amount 0 to 255 */
export function solarizeAdd(image: RgbImage, amount: number): RgbImage {
  return applyTable(
    image,
    tableOf((level) => (level < 128 ? Math.min(255, level + amount) : level)),
  );
}

/** Pillow's mix of two levels, in single precision; a factor above 1 leads past the second, and what leaves the bytes is cut. */
function blend(from: number, to: number, factor: number): number {
  return Math.fround(from + Math.fround(factor * (to - from)));
}

/** @param factor 0 is black, 1 the image as it is */
export function adjustBrightness(image: RgbImage, factor: number): RgbImage {
  const single = Math.fround(factor);
  return applyTable(
    image,
    tableOf((level) => blend(0, level, single)),
  );
}

/** @param factor 0 is the image's mean grey, 1 the image as it is */
export function adjustContrast(image: RgbImage, factor: number): RgbImage {
  const { data } = image;
  let sum = 0;
  for (let at = 0; at < data.length; at += 3) sum += luma(data, at);
  const mean = Math.trunc(sum / (data.length / 3) + 0.5);
  const single = Math.fround(factor);
  return applyTable(
    image,
    tableOf((level) => blend(mean, level, single)),
  );
}

/** @param factor 0 is the image in grey, 1 the image as it is */
export function adjustColor({ width, height, data }: RgbImage, factor: number): RgbImage {
  const single = Math.fround(factor);
  const difference = new Float32Array(511);
  for (let index = 0; index < 511; index++) difference[index] = single * (index - 255);
  const output = new Uint8ClampedArray(data.length);
  for (let at = 0; at < data.length; at += 3) {
    const grey = luma(data, at);
    const first = 255 - grey;
    output[at] = Math.trunc(Math.fround(grey + difference[first + data[at]!]!));
    output[at + 1] = Math.trunc(Math.fround(grey + difference[first + data[at + 1]!]!));
    output[at + 2] = Math.trunc(Math.fround(grey + difference[first + data[at + 2]!]!));
  }
  return { width, height, data: new Uint8Array(output.buffer) };
}

/** Pillow's grey of a pixel: the ITU-R 601 weights in 16-bit fixed point. */
function luma(data: Uint8Array, at: number): number {
  return (data[at]! * 19595 + data[at + 1]! * 38470 + data[at + 2]! * 7471 + 0x8000) >> 16;
}
