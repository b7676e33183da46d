import { open, rename, rm } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import sharp, { type OverlayOptions } from 'sharp';
import type { Reading, RgbImage } from '../model/index.js';
import { type AttentionLayout, type Rectangle, attentionLayout, heatTile } from './attention_layout.js';
import { tell } from './output.js';

const background = '#16161f';
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
/** Drawn at twice the size, so that small text is sharp. */
const scale = 2;
const fonts = "'DejaVu Sans Mono', 'Menlo', 'Consolas', 'Noto Sans Mono', 'DejaVu Sans', monospace";

/** Writes a PNG for each image: the image, the text, and for every character where it looked. */
export class AttentionPictures {
  private readonly names = new Set<string>();

  constructor(private readonly folder: string) {}

  /** Writes `<name of the image>.png`, with a number where another image of this run has that name and `_` for control characters. */
  async write(name: string, image: RgbImage, reading: Reading): Promise<void> {
    if (this.names.size === 0 && !(await hasFonts())) {
      tell(
        'No fonts are installed: the pictures will show no text. On Debian or Ubuntu: apt install fonts-dejavu-core',
      );
    }
    const path = join(this.folder, this.freeName(name));
    const temporary = `${path}.${process.pid}.tmp`;
    try {
      const file = await open(temporary, 'w');
      await file.writeFile(await drawAttention(image, reading)).finally(() => file.close());
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  private freeName(name: string): string {
    // A name that no terminal shows as it is would be hard to find again.
    const stem = name === '-' ? 'stdin' : basename(name, extname(name)).replace(unprintable, '_');
    let free = `${stem}.png`;
    for (let number = 2; this.names.has(free.toLowerCase()); number++) free = `${stem}-${number}.png`;
    this.names.add(free.toLowerCase());
    return free;
  }
}

/** The picture of one reading, as PNG. */
export async function drawAttention(image: RgbImage, reading: Reading): Promise<Buffer> {
  const { attention, characters } = reading;
  if (!attention) throw new Error('the reading carries no attention');
  const layout = attentionLayout(image, characters.length);
  const tiles = await Promise.all(
    layout.tiles.map(async (place, position): Promise<OverlayOptions> => {
      const weights = attention.values.subarray(
        position * attention.columns,
        (position + 1) * attention.columns,
      );
      return overlay(heatTile(await resized(image, place), weights, attention.grid), place);
    }),
  );
  const canvas = {
    width: layout.width * scale,
    height: layout.height * scale,
    channels: 3 as const,
    background,
  };
  return sharp({ create: canvas })
    .composite([
      overlay(await resized(image, layout.image), layout.image),
      ...tiles,
      { input: Buffer.from(captions(layout, reading)), left: 0, top: 0 },
    ])
    .png()
    .toBuffer();
}

async function resized({ width, height, data }: RgbImage, place: Rectangle): Promise<RgbImage> {
  const target = { width: place.width * scale, height: place.height * scale };
  const pixels = await sharp(data, { raw: { width, height, channels: 3 } })
    .resize({ ...target, fit: 'fill' })
    .raw()
    .toBuffer();
  return { ...target, data: pixels };
}

function overlay({ width, height, data }: RgbImage, { left, top }: Rectangle): OverlayOptions {
  return {
    input: Buffer.from(data.buffer, data.byteOffset, data.length),
    raw: { width, height, channels: 3 },
    left: left * scale,
    top: top * scale,
  };
}

/** All writing, as one transparent SVG over the images. */
function captions(layout: AttentionLayout, { text, confidence, characters }: Reading): string {
  const { left, baseline, size } = layout.text;
  const tiles = layout.tiles.map((tile, index) => {
    const { char, probability } = characters[index]!;
    const middle = tile.left + tile.width / 2;
    const bottom = tile.top + tile.height;
    return (
      write(char, middle, bottom + 21, 19, '#ffffff', 'middle') +
      write(percent(probability), middle, bottom + 36, 12, probabilityColour(probability), 'middle')
    );
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${layout.width * scale}" height="${layout.height * scale}" ` +
    `viewBox="0 0 ${layout.width} ${layout.height}">` +
    write(text === '' ? '(no text)' : text, left, baseline + 6, size, '#ffffff', 'start') +
    write(
      `confidence ${percent(confidence)}`,
      left,
      baseline + 30,
      13,
      probabilityColour(confidence),
      'start',
    ) +
    `${tiles.join('')}</svg>`
  );
}

function write(
  text: string,
  x: number,
  y: number,
  size: number,
  colour: string,
  anchor: 'start' | 'middle',
): string {
  return (
    `<text x="${x}" y="${y}" font-family="${fonts}" font-size="${size}" fill="${colour}" ` +
    `text-anchor="${anchor}" xml:space="preserve">${escapeXml(text)}</text>`
  );
}

/** XML allows no control characters, not even as references. */
function escapeXml(text: string): string {
  return text
    .replace(/\p{Cc}/gu, '\ufffd')
    .replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
}

function percent(probability: number): string {
  return `${(100 * probability).toFixed(1)} %`;
}

/** Green for sure, through yellow, to red for a guess. */
function probabilityColour(probability: number): string {
  return `hsl(${Math.round(10 + 120 * probability ** 2)}, 75%, 65%)`;
}

/** Whether text is drawn at all: a fresh server may have no fonts. */
async function hasFonts(): Promise<boolean> {
  const sample = `<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20">${write('H', 2, 16, 16, '#fff', 'start')}</svg>`;
  const { channels } = await sharp(Buffer.from(sample)).stats();
  return channels[3] === undefined || channels[3].max > 0;
}
