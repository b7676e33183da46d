/** The picture of where each character looked: sizes and places, and the pixels of one tile. */
import type { RgbImage } from '../model/index.js';

export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface AttentionLayout {
  readonly width: number;
  readonly height: number;
  /** The whole image, beside the text. */
  readonly image: Rectangle;
  /** Left end and base line of the text, and its font size. */
  readonly text: { readonly left: number; readonly baseline: number; readonly size: number };
  /** One a character, in reading order; captions stand below, `captionHeight` high. */
  readonly tiles: readonly Rectangle[];
}

const margin = 20;
const gap = 12;
const tileHeight = 72;
const tileWidths = { least: 72, most: 240 };
const imageHeight = 88;
const imageWidths = { least: 88, most: 300 };
const mostWidth = 1080;
const leastWidth = 480;
/** Height of a character and its probability below a tile. */
export const captionHeight = 40;
/** Widths of characters of a monospaced font, as parts of the font size. */
const characterWidth = 0.62;
const textSizes = { least: 16, most: 40 };

/**
 * @param image size of the image in pixels; its aspect is kept within what can be seen well
 * @param characters of the text
 */
export function attentionLayout(
  image: { readonly width: number; readonly height: number },
  characters: number,
): AttentionLayout {
  const aspect = image.width / image.height;
  const tileWidth = clamp(Math.round(tileHeight * aspect), tileWidths);
  const columns = clamp(Math.floor((mostWidth - 2 * margin + gap) / (tileWidth + gap)), {
    least: 1,
    most: Math.max(1, characters),
  });
  const grid = columns * (tileWidth + gap) - gap;
  const imageWidth = clamp(Math.round(imageHeight * aspect), imageWidths);
  const textLeft = margin + imageWidth + margin;
  const largest = Math.floor((mostWidth - margin - textLeft) / (Math.max(characters, 1) * characterWidth));
  const size = clamp(largest, textSizes);
  const textWidth = Math.ceil(characters * size * characterWidth);
  const width = Math.max(leastWidth, grid + 2 * margin, textLeft + textWidth + margin);
  const top = margin + imageHeight + margin;
  const tiles = Array.from({ length: characters }, (_, index) => ({
    left: margin + (index % columns) * (tileWidth + gap),
    top: top + Math.floor(index / columns) * (tileHeight + captionHeight + gap),
    width: tileWidth,
    height: tileHeight,
  }));
  const last = tiles.at(-1);
  return {
    width,
    height: last ? last.top + tileHeight + captionHeight + margin : margin + imageHeight + margin,
    image: { left: margin, top: margin, width: imageWidth, height: imageHeight },
    text: { left: textLeft, baseline: margin + Math.round(imageHeight / 2), size },
    tiles,
  };
}

/** Colours of growing attention: the image darkened, violet, orange, and the image itself with a warm shine. */
const ramp = [
  { at: 0, colour: [18, 16, 48], cover: 0.72 },
  { at: 0.35, colour: [150, 36, 120], cover: 0.6 },
  { at: 0.7, colour: [255, 130, 40], cover: 0.48 },
  { at: 1, colour: [255, 226, 90], cover: 0.4 },
] as const;

const levels = 256;
/** By level of attention: what is added in red, green and blue, and what is left of the image. */
const palette = Float32Array.from({ length: levels * 4 }, (_, index) => {
  const { colour, cover } = colourOf(Math.floor(index / 4) / (levels - 1));
  return index % 4 === 3 ? 1 - cover : colour[index % 4]! * cover;
});

/**
 * An image with the attention of one character laid over it, the strongest patch brightest.
 * @param image already of the tile's size
 * @param weights `[rows, columns]` of the patch grid
 */
export function heatTile(
  image: RgbImage,
  weights: Float32Array,
  [rows, columns]: readonly [number, number],
): RgbImage {
  const { width, height } = image;
  const data = new Uint8Array(width * height * 3);
  const strongest = Math.max(
    weights.reduce((most, weight) => Math.max(most, weight), 0),
    Number.MIN_VALUE,
  );
  const across = Array.from({ length: width }, (_, x) => patchPosition(x, width, columns));
  for (let y = 0; y < height; y++) {
    const row = patchPosition(y, height, rows);
    for (let x = 0; x < width; x++) {
      const heat = bilinear(weights, columns, row, across[x]!) / strongest;
      const shade = Math.round(heat * (levels - 1)) * 4;
      const at = (y * width + x) * 3;
      const kept = palette[shade + 3]!;
      data[at] = palette[shade]! + image.data[at]! * kept;
      data[at + 1] = palette[shade + 1]! + image.data[at + 1]! * kept;
      data[at + 2] = palette[shade + 2]! + image.data[at + 2]! * kept;
    }
  }
  return { width, height, data };
}

interface PatchPosition {
  readonly low: number;
  readonly high: number;
  /** How far from the first to the second. */
  readonly part: number;
}

/** The patches around a pixel: they hold their value in their middle. */
function patchPosition(pixel: number, pixels: number, count: number): PatchPosition {
  const position = clamp(((pixel + 0.5) / pixels) * count - 0.5, { least: 0, most: count - 1 });
  const low = Math.floor(position);
  return { low, high: Math.min(low + 1, count - 1), part: position - low };
}

function bilinear(weights: Float32Array, columns: number, row: PatchPosition, column: PatchPosition): number {
  const [upper, lower] = [row.low * columns, row.high * columns];
  const [left, right, part] = [column.low, column.high, column.part];
  const above = weights[upper + left]! * (1 - part) + weights[upper + right]! * part;
  const below = weights[lower + left]! * (1 - part) + weights[lower + right]! * part;
  return above * (1 - row.part) + below * row.part;
}

function colourOf(heat: number): { colour: readonly number[]; cover: number } {
  const above = Math.max(
    1,
    ramp.findIndex(({ at }) => heat <= at),
  );
  const [from, to] = [ramp[above - 1]!, ramp[above]!];
  const part = (heat - from.at) / (to.at - from.at);
  const between = (a: number, b: number): number => a + (b - a) * part;
  return {
    colour: from.colour.map((value, channel) => between(value, to.colour[channel]!)),
    cover: between(from.cover, to.cover),
  };
}

function clamp(value: number, { least, most }: { readonly least: number; readonly most: number }): number {
  return Math.min(Math.max(value, least), most);
}
