import type { RgbImage } from '../model/index.js';

/** What is written on the test image. */
export const testImageText = 'LEFT';

/** Letters on a grid of 5 x 7 dots. */
const letters: Readonly<Record<string, readonly string[]>> = {
  L: ['#....', '#....', '#....', '#....', '#....', '#....', '#####'],
  E: ['#####', '#....', '#....', '####.', '#....', '#....', '#####'],
  F: ['#####', '#....', '#....', '####.', '#....', '#....', '#....'],
  T: ['#####', '..#..', '..#..', '..#..', '..#..', '..#..', '..#..'],
};

const dot = 6;
const margin = 2 * dot;
const letterWidth = 5 * dot;
const space = 2 * dot;

/** A word made of dots, so that a model can be tried where there are neither image files nor fonts. */
export function testImage(): RgbImage {
  const width = 2 * margin + testImageText.length * (letterWidth + space) - space;
  const height = 2 * margin + 7 * dot;
  const data = new Uint8Array(width * height * 3).fill(235);
  Array.from(testImageText).forEach((letter, index) => {
    letters[letter]!.forEach((line, row) => {
      Array.from(line).forEach((mark, column) => {
        if (mark !== '#') return;
        const left = margin + index * (letterWidth + space) + column * dot;
        for (let y = margin + row * dot; y < margin + (row + 1) * dot; y++) {
          data.fill(20, (y * width + left) * 3, (y * width + left + dot) * 3);
        }
      });
    });
  });
  return { width, height, data };
}
