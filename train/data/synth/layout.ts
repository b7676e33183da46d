/** Where everything lies: the word bent and turned, the lines of text beside it, the sign behind it, the edge of the crop. */
import type { RandomSource } from '../rand_augment_noise.js';
import { between, chance, clamp, integer, logNormal, normal, pick, pickWeighted, sign } from './choices.js';
import type { FontFace, PlacedCharacter } from './font_face.js';
import { type Bounds, type Outline, type Warp, boundsOf, joined, rectangle, warped } from './outline.js';
import { arc, bulge, linear, moved, perspective, rotation, toPixels, wave } from './warps.js';

/** Shapes in pixels from the upper left corner of the crop. */
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly word: Outline;
  /** Other text of the sign, of which the crop shows a little. */
  readonly neighbours: Outline | undefined;
  /** A sign, label or band behind the text. */
  readonly panel: Outline | undefined;
  /** Lines along the text. */
  readonly rules: Outline | undefined;
  /** Height of the letters before they were bent, in pixels. */
  readonly letterHeight: number;
}

const smallestLetterHeight = 9;
const largestLetterHeight = 96;
const smallestSide = 8;
const largestWidth = 560;
const largestHeight = 300;

/** A passing word for the neighbours. */
export type NextWord = () => string;

/**
 * Lays out a text.
 * @param joinedLetters whether the letters are joined as in handwriting, which spacing and tilting would tear apart
 * @returns undefined where the text has no shape
 */
export function layOut(
  random: RandomSource,
  face: FontFace,
  text: string,
  joinedLetters: boolean,
  nextWord: NextWord,
): Layout | undefined {
  const spacing = joinedLetters ? 0 : letterSpacing(random);
  const tilting = !joinedLetters && chance(random, 0.03) ? between(random, 0.03, 0.12) : 0;
  const word = placed(face.setLine(text, spacing), random, tilting);
  const ink = boundsOf(word);
  if (!(ink.right > ink.left && ink.most > ink.least)) return undefined;
  const letterHeight = clamp(logNormal(random, 27, 0.5), smallestLetterHeight, largestLetterHeight);
  const lineHeight = Math.max(ink.most - ink.least, 0.35);
  const warps = chooseWarps(random, ink, lineHeight);
  const bent = warped(word, warps);
  const around = boundsOf(bent);

  const neighbours = chance(random, 0.18) ? neighbouringText(random, face, ink, nextWord) : undefined;
  const sides = margins(random, neighbours?.above ?? false, neighbours?.below ?? false);
  const scale = fittingScale(letterHeight / lineHeight, around, lineHeight);
  const unit = lineHeight * scale;
  const crop = toPixels(
    scale,
    around.left * scale - sides.left * unit,
    -around.most * scale - sides.top * unit,
  );
  const place = (outline: Outline | undefined): Outline | undefined =>
    outline && warped(outline, [...warps, crop]);
  return {
    width: cropSide(around.right - around.left, scale, (sides.left + sides.right) * unit),
    height: cropSide(around.most - around.least, scale, (sides.top + sides.bottom) * unit),
    word: warped(bent, [crop]),
    neighbours: place(neighbours?.outline),
    panel: place(chance(random, 0.3) ? panelBehind(random, ink, lineHeight) : undefined),
    rules: place(chance(random, 0.06) ? rulesAlong(random, ink, lineHeight) : undefined),
    letterHeight: unit,
  };
}

function cropSide(length: number, scale: number, margin: number): number {
  return Math.max(smallestSide, Math.round(length * scale + margin));
}

/** Pixels per em: as wanted unless the crop would grow too large. */
function fittingScale(wanted: number, around: Bounds, lineHeight: number): number {
  const width = around.right - around.left + lineHeight;
  const height = around.most - around.least + lineHeight;
  return Math.min(wanted, largestWidth / width, largestHeight / height);
}

function letterSpacing(random: RandomSource): number {
  return pickWeighted(random, [
    [70, 0],
    [15, between(random, -0.03, 0.04)],
    [11, between(random, 0.04, 0.2)],
    [4, between(random, 0.2, 0.7)],
  ]);
}

/** The characters as one shape, each turned and shifted by chance where `tilting` is above 0. */
function placed(characters: readonly PlacedCharacter[], random: RandomSource, tilting: number): Outline {
  return joined(
    characters.map(({ outline, x }) => {
      const shift = tilting * normal(random);
      const turn = tilting === 0 ? [] : [rotation(tilting * normal(random))];
      return warped(outline, [...turn, moved(x, 0.5 * shift)]);
    }),
  );
}

/** How the text is bent and seen, in the order in which it happens. */
function chooseWarps(random: RandomSource, ink: Bounds, lineHeight: number): Warp[] {
  const warps: Warp[] = [];
  const middle = (ink.left + ink.right) / 2;
  const length = ink.right - ink.left;
  // A circle smaller than the letters would turn them inside out.
  const largestAngle = Math.min(2.9, length / (1.4 * lineHeight));
  pickWeighted<() => void>(random, [
    [72, () => undefined],
    [
      18,
      () => {
        const angle = Math.min(largestAngle, Math.abs(0.25 + 0.7 * normal(random)) + 0.1);
        warps.push(arc(middle, length, (chance(random, 0.7) ? 1 : -1) * angle));
      },
    ],
    [
      4,
      () => {
        const wavelength = length * between(random, 0.7, 2);
        const amplitude = Math.min(0.3 * lineHeight, 0.09 * wavelength) * between(random, 0.3, 1);
        warps.push(wave(amplitude, wavelength, between(random, 0, 2 * Math.PI)));
      },
    ],
    [4, () => warps.push(bulge(middle, length, between(random, 0.2, 0.7) * sign(random)))],
  ])();
  const slant = chance(random, 0.12) ? between(random, -0.15, 0.4) : 0.03 * normal(random);
  const stretch = clamp(Math.exp(0.17 * normal(random)), 0.6, 1.6);
  warps.push(linear(stretch, 0, slant, 1));
  const [width, middleY] = [length * stretch, (ink.least + ink.most) / 2];
  if (chance(random, 0.45)) {
    const strength = chance(random, 0.2) ? 0.35 : 0.14;
    const towardsX = clamp(strength * normal(random), -0.42, 0.42) / Math.max(width / 2, lineHeight);
    const towardsY = (clamp(0.1 * normal(random), -0.25, 0.25) / lineHeight) * 2;
    warps.push(perspective(middle * stretch, middleY, towardsX, towardsY));
    // What is seen from the side is also foreshortened.
    warps.push(
      linear(1 - Math.min(0.45, Math.abs((towardsX * width) / 2) * between(random, 0, 1.5)), 0, 0, 1),
    );
  }
  warps.push(rotation(viewAngle(random)));
  if (chance(random, 0.25)) warps.push(linear(1, 0.12 * normal(random), 0, 1));
  return warps;
}

/** In radians: mostly nearly level, now and then on a slope or upright. */
function viewAngle(random: RandomSource): number {
  return (
    (Math.PI / 180) *
    pickWeighted(random, [
      [30, 0.6 * normal(random)],
      [50, 3.5 * normal(random)],
      [16, between(random, -25, 25)],
      [2, between(random, -60, 60)],
      [1.5, (chance(random, 0.6) ? 90 : -90) + 3 * normal(random)],
    ])
  );
}

/** Space between the letters and the edges of the crop, in heights of the letters; below 0 letters are cut. */
function margins(
  random: RandomSource,
  above: boolean,
  below: boolean,
): { left: number; right: number; top: number; bottom: number } {
  const [least, most] = pickWeighted(random, [
    [30, [-0.03, 0.06]],
    [45, [0.02, 0.2]],
    [20, [0.08, 0.4]],
    [5, [0.2, 0.7]],
  ] as const);
  const side = (): number => between(random, least, most);
  const beside = (shown: boolean): number => (shown ? between(random, 0.25, 0.65) : 0.8 * side());
  return { left: side(), right: side(), top: beside(above), bottom: beside(below) };
}

/** Lines of text above and below, or words before and after. */
function neighbouringText(
  random: RandomSource,
  face: FontFace,
  ink: Bounds,
  nextWord: NextWord,
): { outline: Outline; above: boolean; below: boolean } | undefined {
  const lines: Outline[] = [];
  const height = ink.most - ink.least;
  const add = (x: (bounds: Bounds) => number, y: (bounds: Bounds) => number, size: number): void => {
    const text = nextWord();
    if (!face.canDraw(text)) return;
    const line = warped(joined(face.setLine(text, 0).map(atPlace)), [linear(size, 0, 0, size)]);
    const bounds = boundsOf(line);
    if (bounds.right > bounds.left) lines.push(warped(line, [moved(x(bounds), y(bounds))]));
  };
  const sides = pickWeighted(random, [
    [3, ['above']],
    [3, ['below']],
    [1, ['above', 'below']],
    [2, ['after']],
    [1, ['before']],
  ] as const);
  for (const side of sides as readonly string[]) {
    const size = side === 'above' || side === 'below' ? between(random, 0.6, 1.3) : 1;
    const gap = between(random, 0.12, 0.4) * height;
    const along = (bounds: Bounds): number =>
      between(random, ink.left - 0.5 * (bounds.right - bounds.left), ink.right) - bounds.left;
    if (side === 'above') add(along, ({ least }) => ink.most + gap - least, size);
    if (side === 'below') add(along, ({ most }) => ink.least - gap - most, size);
    const space = Math.max(0.3, 0.35 * height) + gap;
    if (side === 'after')
      add(
        ({ left }) => ink.right + space - left,
        () => 0,
        size,
      );
    if (side === 'before')
      add(
        ({ right }) => ink.left - space - right,
        () => 0,
        size,
      );
  }
  if (lines.length === 0) return undefined;
  const has = (side: string): boolean => (sides as readonly string[]).includes(side);
  return { outline: joined(lines), above: has('above'), below: has('below') };
}

function atPlace({ outline, x }: PlacedCharacter): Outline {
  return warped(outline, [moved(x, 0)]);
}

const bendStep = 0.15;
const farAway = 8;

/** A sign with the word on it, or a band that goes on to both sides. */
function panelBehind(random: RandomSource, ink: Bounds, lineHeight: number): Outline {
  const pad = (): number => between(random, 0.08, 0.5) * lineHeight;
  const band = chance(random, 0.6);
  const bounds = {
    left: ink.left - (band ? farAway : pad()),
    right: ink.right + (band ? farAway : pad()),
    least: ink.least - pad(),
    most: ink.most + pad(),
  };
  const cut = chance(random, 0.4) ? between(random, 0.05, 0.3) * lineHeight : 0;
  return rectangle(bounds, bendStep, cut);
}

/** Lines under, over or on both sides of the text. */
function rulesAlong(random: RandomSource, ink: Bounds, lineHeight: number): Outline {
  const rules: Outline[] = [];
  const count = integer(random, 1, 2);
  const over = pick(random, [true, false]);
  for (let rule = 0; rule < count; rule++) {
    const gap = between(random, 0.08, 0.25) * lineHeight;
    const thickness = between(random, 0.02, 0.1) * lineHeight;
    const isOver = over !== (rule === 1);
    const edge = isOver ? ink.most + gap : ink.least - gap - thickness;
    const beyond = chance(random, 0.5) ? farAway : between(random, -0.1, 0.2);
    rules.push(
      rectangle(
        { left: ink.left - beyond, right: ink.right + beyond, least: edge, most: edge + thickness },
        bendStep,
      ),
    );
  }
  return joined(rules);
}
