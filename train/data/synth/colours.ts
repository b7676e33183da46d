/** Colours of signs and letters, and how far apart they must be to be read. */
import type { RandomSource } from '../rand_augment_noise.js';
import { between, chance, clamp, normal, pick, pickWeighted } from './choices.js';

/** Red, green and blue, 0 to 255. */
export type Colour = readonly [number, number, number];

/** Brightness as the eye weighs the three colours, 0 to 255. */
export function luma([red, green, blue]: Colour): number {
  return 0.299 * red + 0.587 * green + 0.114 * blue;
}

/** @param hue in turns, any number */
function fromHue(hue: number, saturation: number, value: number): Colour {
  const channel = (shift: number): number => {
    const position = (((hue * 6 + shift) % 6) + 6) % 6;
    return 255 * value * (1 - saturation * Math.max(0, Math.min(position, 4 - position, 1)));
  };
  return [channel(5), channel(3), channel(1)];
}

/** Hues that signs have more often than others, in turns: red, orange, yellow, green, blue. */
const signHues = [0, 0.98, 0.07, 0.13, 0.36, 0.42, 0.56, 0.6, 0.64] as const;

function anyHue(random: RandomSource): number {
  return chance(random, 0.6) ? pick(random, signHues) + 0.02 * normal(random) : random.next();
}

const kinds = {
  white: (random: RandomSource) => fromHue(random.next(), between(random, 0, 0.08), between(random, 0.82, 1)),
  cream: (random: RandomSource) =>
    fromHue(between(random, 0.08, 0.15), between(random, 0.1, 0.45), between(random, 0.75, 1)),
  grey: (random: RandomSource) =>
    fromHue(random.next(), between(random, 0, 0.12), between(random, 0.25, 0.8)),
  black: (random: RandomSource) =>
    fromHue(random.next(), between(random, 0, 0.5), between(random, 0.02, 0.22)),
  vivid: (random: RandomSource) => fromHue(anyHue(random), between(random, 0.6, 1), between(random, 0.45, 1)),
  deep: (random: RandomSource) =>
    fromHue(anyHue(random), between(random, 0.5, 1), between(random, 0.15, 0.5)),
  muted: (random: RandomSource) =>
    fromHue(anyHue(random), between(random, 0.12, 0.5), between(random, 0.3, 0.85)),
} as const;

type Kind = keyof typeof kinds;

const groundKinds: readonly (readonly [number, Kind])[] = [
  [20, 'white'],
  [7, 'cream'],
  [14, 'grey'],
  [15, 'black'],
  [17, 'vivid'],
  [13, 'deep'],
  [14, 'muted'],
];

const letterKinds: readonly (readonly [number, Kind])[] = [
  [34, 'white'],
  [9, 'cream'],
  [6, 'grey'],
  [24, 'black'],
  [15, 'vivid'],
  [8, 'deep'],
  [4, 'muted'],
];

/** Colour of a wall or a sign. */
export function groundColour(random: RandomSource): Colour {
  return kinds[pickWeighted(random, groundKinds)](random);
}

const attempts = 12;

/**
 * Colour of letters whose luma differs from another by at least `contrast`. Where chance finds none, the farther of nearly
 * white and nearly black, which differ from any luma by 115 or more.
 */
export function letterColour(random: RandomSource, against: number, contrast: number): Colour {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const colour = kinds[pickWeighted(random, letterKinds)](random);
    if (Math.abs(luma(colour) - against) >= contrast) return colour;
  }
  return kinds[against < 128 ? 'white' : 'black'](random);
}

/** The colour brightened (`amount` above 0) or darkened, evenly over the channels. */
export function shaded([red, green, blue]: Colour, amount: number): Colour {
  return [clamp(red + amount, 0, 255), clamp(green + amount, 0, 255), clamp(blue + amount, 0, 255)];
}

/** The colour moved by chance, by about `deviation` in each channel. */
export function varied(random: RandomSource, [red, green, blue]: Colour, deviation: number): Colour {
  return [
    clamp(red + deviation * normal(random), 0, 255),
    clamp(green + deviation * normal(random), 0, 255),
    clamp(blue + deviation * normal(random), 0, 255),
  ];
}
