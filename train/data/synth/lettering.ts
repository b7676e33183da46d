/** Paints the letters: their colour, edges and depth, so that they stand out from what is behind them. */
import type { RandomSource } from '../rand_augment_noise.js';
import { gradientPicture } from './backgrounds.js';
import { between, chance, clamp, integer, normal, pickWeighted, sign } from './choices.js';
import { type Colour, groundColour, letterColour, luma, shaded, varied } from './colours.js';
import { type Mask, fillMask, strokeMask } from './coverage.js';
import { blurred, shifted, union, without } from './filters.js';
import type { Layout } from './layout.js';
import { layeredNoise } from './noise.js';
import { type Paint, type Picture, lumaOf, paint, statisticsOf } from './picture.js';

/** How letters are made; each has its own way to stand out. */
export type Style = 'plain' | 'outlined' | 'shadowed' | 'extruded' | 'hollow' | 'embossed' | 'glowing';

export const styles: readonly (readonly [number, Style])[] = [
  [58, 'plain'],
  [12, 'outlined'],
  [11, 'shadowed'],
  [8, 'extruded'],
  [3, 'hollow'],
  [4, 'embossed'],
  [4, 'glowing'],
];

/** Least difference in luma between letters and what is around them: most words are easy to see, some are hard. */
const contrasts: readonly (readonly [number, readonly [number, number]])[] = [
  [60, [80, 130]],
  [28, [50, 80]],
  [12, [28, 50]],
];

/** Paints the panel, the rules, the neighbours and the word of a layout onto a background. */
export function paintLettering(random: RandomSource, picture: Picture, layout: Layout, style: Style): void {
  const { width, height, letterHeight, panel, rules, neighbours } = layout;
  if (panel) paintPanel(random, picture, fillMask(panel, width, height), letterHeight);
  const letters = fillMask(layout.word, width, height);
  // The letters and what is near to them.
  const ground = statisticsOf(lumaOf(picture), blurred(letters, 0.15 * letterHeight));
  const wanted = between(random, ...pickWeighted(random, contrasts));
  // On a busy ground letters must differ from most of it. Nothing differs from everything by more than this.
  const contrast = Math.min(wanted + ground.deviation, 115);
  const colour = letterColour(random, ground.mean, contrast);
  const brush: Brush = { random, picture, layout, letters, colour, groundLuma: ground.mean };
  for (const beside of [rules, neighbours]) {
    if (beside) paint(picture, fillMask(beside, width, height), varied(random, colour, 8));
  }
  painters[style](brush);
}

interface Brush {
  readonly random: RandomSource;
  readonly picture: Picture;
  readonly layout: Layout;
  readonly letters: Mask;
  readonly colour: Colour;
  /** Mean luma of what is behind the letters. */
  readonly groundLuma: number;
}

const painters: Record<Style, (brush: Brush) => void> = {
  plain(brush) {
    fill(brush);
  },

  outlined(brush) {
    const { random, picture, layout, letters, colour } = brush;
    const thickness = Math.max(1, layout.letterHeight * between(random, 0.035, 0.11));
    const edge = letterColour(random, luma(colour), 70);
    const line = lineAround(layout, 2 * thickness);
    if (chance(random, 0.2)) {
      const outer = lineAround(layout, 2 * thickness + Math.max(2, 0.1 * layout.letterHeight));
      paint(picture, outer, letterColour(random, luma(edge), 70));
    }
    paint(picture, union(line, letters), edge);
    fill(brush);
  },

  shadowed(brush) {
    const { random, picture, layout, letters, groundLuma } = brush;
    const [dx, dy] = offset(random, layout.letterHeight, 0.03, 0.12);
    const shadow = shifted(letters, dx, dy);
    const soft = chance(random, 0.6);
    const isDark = groundLuma > 50 || chance(random, 0.5);
    paint(
      picture,
      soft ? blurred(shadow, layout.letterHeight * between(random, 0.02, 0.07)) : shadow,
      isDark ? shaded(groundColour(random), -180) : groundColour(random),
      between(random, 0.4, 1),
    );
    fill(brush);
  },

  extruded(brush) {
    const { random, picture, layout, letters, colour } = brush;
    const [dx, dy] = offset(random, layout.letterHeight, 0.06, 0.2);
    const steps = Math.max(Math.abs(dx), Math.abs(dy));
    let depth = letters;
    for (let step = 1; step <= steps; step++) {
      depth = union(
        depth,
        shifted(letters, Math.round((dx * step) / steps), Math.round((dy * step) / steps)),
      );
    }
    const isDarker = luma(colour) > 90;
    paint(picture, depth, shaded(colour, (isDarker ? -1 : 1) * between(random, 60, 130)));
    fill(brush);
  },

  hollow({ random, picture, layout, letters, colour }) {
    const thickness = Math.max(1.2, layout.letterHeight * between(random, 0.03, 0.07));
    if (chance(random, 0.3)) paint(picture, letters, groundColour(random), between(random, 0.2, 0.8));
    paint(picture, lineAround(layout, thickness), colour);
  },

  embossed({ random, picture, layout, letters, groundLuma }) {
    const depth = Math.max(1, Math.round(layout.letterHeight * between(random, 0.02, 0.05)));
    const raised = sign(random);
    const light = without(letters, shifted(letters, raised * depth, raised * depth));
    const dark = without(letters, shifted(letters, -raised * depth, -raised * depth));
    const strength = between(random, 0.5, 0.95);
    const face = clamp(groundLuma + 45 * normal(random), 0, 255);
    paint(picture, letters, [face, face, face], between(random, 0.2, 0.5));
    paint(picture, light, [255, 255, 250], strength);
    paint(picture, dark, [0, 0, 5], strength);
  },

  glowing(brush) {
    const { random, picture, layout, letters, colour, groundLuma } = brush;
    // Lamps shine in the dark.
    const dimming = between(random, 0.15, 0.6);
    const night = { ...letters, values: new Float32Array(letters.values.length).fill(1) };
    paint(picture, night, [0, 0, 10], dimming * clamp(groundLuma / 128, 0.3, 1));
    const lamp = luma(colour) > 120 ? colour : shaded(colour, 255 - luma(colour) - between(random, 0, 70));
    const halo = blurred(letters, layout.letterHeight * between(random, 0.05, 0.2));
    paint(picture, halo, varied(random, lamp, 30), between(random, 0.5, 0.9));
    paint(picture, letters, shaded(lamp, between(random, 0, 60)));
  },
};

/** Paints the letters themselves: evenly, in two colours that go over into each other, or worn. */
function fill({ random, picture, layout, letters, colour, groundLuma }: Brush): void {
  const { width, height, letterHeight } = layout;
  const heavier = chance(random, 0.08) ? union(letters, lineAround(layout, 0.05 * letterHeight)) : letters;
  const paintWith = pickWeighted<() => Paint>(random, [
    [82, () => colour],
    [
      10,
      () => {
        // Away from the ground, so that no part of the letters comes too near to it.
        const away = luma(colour) > groundLuma ? 1 : -1;
        const second = varied(random, shaded(colour, away * between(random, 20, 90)), 25);
        return gradientPicture(random, width, height, colour, second);
      },
    ],
    [4, () => gradientPicture(random, width, height, colour, varied(random, colour, 35))],
  ])();
  const mask = chance(random, 0.06) ? worn(random, heavier, letterHeight) : heavier;
  paint(picture, mask, paintWith, chance(random, 0.1) ? between(random, 0.7, 1) : 1);
}

/** The mask with flakes of paint gone. */
function worn(random: RandomSource, mask: Mask, letterHeight: number): Mask {
  const cell = letterHeight * between(random, 0.08, 0.3);
  const noise = layeredNoise(random, mask.width, mask.height, cell, cell, 2);
  const level = between(random, 0.3, 0.8);
  return {
    ...mask,
    values: mask.values.map((value, i) => value * clamp(1 - 3 * (noise[i]! - level), 0.15, 1)),
  };
}

function paintPanel(random: RandomSource, picture: Picture, mask: Mask, letterHeight: number): void {
  const { width, height } = picture;
  const colour = groundColour(random);
  if (chance(random, 0.25)) {
    const thickness = Math.max(1, integer(random, 1, Math.ceil(0.08 * letterHeight)));
    const border = union(shifted(mask, thickness, thickness), shifted(mask, -thickness, -thickness));
    paint(picture, union(mask, border), groundColour(random));
  }
  const even = chance(random, 0.6);
  paint(
    picture,
    mask,
    even ? colour : gradientPicture(random, width, height, colour, varied(random, colour, 30)),
  );
}

function lineAround({ word, width, height }: Layout, thickness: number): Mask {
  return strokeMask(word, thickness, width, height);
}

/** Whole pixels to one side, a part of the letters' height; at least one. */
function offset(random: RandomSource, letterHeight: number, least: number, most: number): [number, number] {
  const distance = Math.max(1, letterHeight * between(random, least, most));
  const angle = chance(random, 0.7) ? between(random, 0.1, 1.4) : between(random, 0, 2 * Math.PI);
  const [dx, dy] = [Math.round(distance * Math.cos(angle)), Math.round(distance * Math.sin(angle))];
  return dx === 0 && dy === 0 ? [1, 1] : [dx, dy];
}
