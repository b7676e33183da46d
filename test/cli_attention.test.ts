import { describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { type Rectangle, attentionLayout, captionHeight, heatTile } from '../cli/attention_layout.js';
import { drawAttention } from '../cli/attention_pictures.js';
import type { Reading, RgbImage } from '../model/index.js';

const image = (width: number, height: number, level: number): RgbImage => ({
  width,
  height,
  data: new Uint8Array(width * height * 3).fill(level),
});

const apart = (a: Rectangle, b: Rectangle): boolean =>
  a.left + a.width <= b.left ||
  b.left + b.width <= a.left ||
  a.top + a.height + captionHeight <= b.top ||
  b.top + b.height + captionHeight <= a.top;

describe('layout', () => {
  test.each([
    [192, 56],
    [1, 1],
    [20000, 10],
    [10, 20000],
  ])('of an image of %d x %d keeps all tiles apart and inside, for 0 to 25 characters', (width, height) => {
    for (let characters = 0; characters <= 25; characters++) {
      const layout = attentionLayout({ width, height }, characters);
      expect(layout.tiles).toHaveLength(characters);
      expect(layout.width).toBeLessThanOrEqual(1080);
      expect(layout.height).toBeLessThanOrEqual(1200);
      for (const [index, tile] of layout.tiles.entries()) {
        expect(tile.left).toBeGreaterThanOrEqual(0);
        expect(tile.left + tile.width).toBeLessThanOrEqual(layout.width);
        expect(tile.top + tile.height + captionHeight).toBeLessThanOrEqual(layout.height);
        expect(tile.top).toBeGreaterThanOrEqual(layout.image.top + layout.image.height);
        expect(layout.tiles.slice(0, index).every((other) => apart(tile, other))).toBe(true);
      }
    }
  });

  test('text of 25 characters fits beside the image', () => {
    const { text, width } = attentionLayout({ width: 192, height: 56 }, 25);
    expect(text.left + 25 * text.size * 0.6).toBeLessThan(width);
    expect(text.size).toBeGreaterThanOrEqual(16);
  });
});

describe('heat', () => {
  const brightness = (tile: RgbImage, x: number, y: number): number =>
    tile.data.subarray((y * tile.width + x) * 3, (y * tile.width + x) * 3 + 3).reduce((a, b) => a + b, 0);

  test('shines in the middle of the patch looked at and falls off to its neighbours', () => {
    const weights = new Float32Array(4 * 16);
    weights[1 * 16 + 3] = 0.02;
    const tile = heatTile(image(160, 40, 90), weights, [4, 16]);
    const here = brightness(tile, 35, 15);
    expect(here).toBeGreaterThan(brightness(tile, 39, 15));
    expect(brightness(tile, 39, 15)).toBeGreaterThan(brightness(tile, 46, 15));
    expect(brightness(tile, 46, 15)).toBe(brightness(tile, 155, 35));
    const all = Array.from({ length: 160 * 40 }, (_, i) => brightness(tile, i % 160, Math.floor(i / 160)));
    expect(Math.max(...all)).toBe(here);
  });

  test('equal attention gives one colour, none gives the darkened image', () => {
    const equal = heatTile(image(8, 8, 200), new Float32Array(4).fill(0.25), [2, 2]);
    const none = heatTile(image(8, 8, 200), new Float32Array(4), [2, 2]);
    expect(new Set(Array.from({ length: 64 }, (_, i) => brightness(equal, i % 8, i >> 3))).size).toBe(1);
    expect(brightness(none, 3, 3)).toBeLessThan(brightness(equal, 3, 3));
  });
});

describe('picture', () => {
  const reading = (text: string): Reading => ({
    text,
    confidence: 0.5,
    characters: Array.from(text, (char) => ({ char, probability: 0.9 })),
    endProbability: 0.9,
    visualText: null,
    milliseconds: 1,
    attention: {
      values: new Float32Array(26 * 64).fill(1 / 64),
      positions: 26,
      columns: 64,
      grid: [4, 16],
    },
  });

  test.each(['', 'x', '<&">\'\u0001', 'abcdefghijklmnopqrstuvwxy'])(
    'of %j is a PNG of the layout at twice its size',
    async (text) => {
      const layout = attentionLayout({ width: 20, height: 7 }, Array.from(text).length);
      const metadata = await sharp(await drawAttention(image(20, 7, 128), reading(text))).metadata();
      expect(metadata).toMatchObject({ format: 'png', width: 2 * layout.width, height: 2 * layout.height });
    },
  );
});
