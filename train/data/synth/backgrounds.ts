/** What is behind the letters: plain signs, gradients, walls, cluttered scenes, or parts of the user's photographs. */
import type { RandomSource } from '../rand_augment_noise.js';
import { between, chance, integer, normal, pick, pickWeighted } from './choices.js';
import { type Colour, groundColour, shaded, varied } from './colours.js';
import { fillMask } from './coverage.js';
import { gaussianBlur } from './filters.js';
import { layeredNoise, smoothNoise } from './noise.js';
import { type Outline, rectangle, warped } from './outline.js';
import type { Photograph } from './photographs.js';
import { type Picture, newPicture, paint } from './picture.js';
import { moved, rotation } from './warps.js';

/** Share of backgrounds that are the user's photographs where there are any. */
const photographShare = 0.5;

/** @param letterHeight in pixels, which sets the size of textures */
export function paintBackground(
  random: RandomSource,
  width: number,
  height: number,
  letterHeight: number,
  photographs: readonly Photograph[],
): Picture {
  if (photographs.length > 0 && chance(random, photographShare)) {
    return partOf(random, pick(random, photographs), width, height);
  }
  return pickWeighted<(random: RandomSource, width: number, height: number, size: number) => Picture>(
    random,
    [
      [38, plain],
      [20, gradient],
      [16, stained],
      [6, grained],
      [5, tiled],
      [9, cluttered],
      [6, natural],
    ],
  )(random, width, height, letterHeight);
}

function plain(random: RandomSource, width: number, height: number): Picture {
  return newPicture(width, height, groundColour(random));
}

function gradient(random: RandomSource, width: number, height: number): Picture {
  const first = groundColour(random);
  const second = chance(random, 0.75) ? shaded(first, 60 * normal(random)) : groundColour(random);
  return gradientPicture(random, width, height, first, second);
}

/** One colour that goes over into another along a straight line. */
export function gradientPicture(
  random: RandomSource,
  width: number,
  height: number,
  first: Colour,
  second: Colour,
): Picture {
  const picture = newPicture(width, height, first);
  const angle = chance(random, 0.6) ? Math.PI / 2 : between(random, 0, 2 * Math.PI);
  const [acrossX, acrossY] = [Math.cos(angle) / width, Math.sin(angle) / height];
  const [start, steepness] = [between(random, -0.2, 0.2), between(random, 0.8, 2)];
  picture.planes.forEach((plane, channel) => {
    const change = second[channel]! - first[channel]!;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const along = 0.5 + (acrossX * (x - width / 2) + acrossY * (y - height / 2) + start) * steepness;
        plane[y * width + x]! += change * Math.min(Math.max(along, 0), 1);
      }
    }
  });
  return picture;
}

/** A wall, stone, paper or cloth: blotches of a colour. */
function stained(random: RandomSource, width: number, height: number, size: number): Picture {
  const cell = size * between(random, 0.3, 3);
  const noise = layeredNoise(random, width, height, cell, cell, integer(random, 2, 4));
  return tinted(random, groundColour(random), noise, width, height, between(random, 5, 30));
}

/** Wood or brushed metal: streaks. */
function grained(random: RandomSource, width: number, height: number, size: number): Picture {
  const [long, short] = [size * between(random, 3, 10), size * between(random, 0.08, 0.3)];
  const upright = chance(random, 0.25);
  const noise = layeredNoise(random, width, height, upright ? short : long, upright ? long : short, 3);
  return tinted(random, groundColour(random), noise, width, height, between(random, 8, 28));
}

/** A picture of one colour, lighter and darker by the noise, and a little in its hue. */
function tinted(
  random: RandomSource,
  colour: Colour,
  noise: Float32Array,
  width: number,
  height: number,
  strength: number,
): Picture {
  const picture = newPicture(width, height, colour);
  for (const plane of picture.planes) {
    const own = strength * between(random, 0.8, 1.2);
    for (let i = 0; i < plane.length; i++) plane[i]! += own * noise[i]!;
  }
  return picture;
}

/** Bricks, tiles or boards with seams between them. */
function tiled(random: RandomSource, width: number, height: number, size: number): Picture {
  const picture = stained(random, width, height, size);
  const [tileWidth, tileHeight] = [size * between(random, 0.6, 3), size * between(random, 0.3, 1.5)];
  const seam = Math.max(1, size * between(random, 0.02, 0.08));
  const [startX, startY] = [between(random, 0, tileWidth), between(random, 0, tileHeight)];
  const offset = pick(random, [0, 0.5]);
  const change = (chance(random, 0.6) ? -1 : 1) * between(random, 12, 50);
  const shades = Float32Array.from({ length: 64 }, () => 9 * normal(random));
  for (let y = 0; y < height; y++) {
    const row = Math.floor((y + startY) / tileHeight);
    const inRow = y + startY - row * tileHeight < seam;
    for (let x = 0; x < width; x++) {
      const along = x + startX + (row % 2) * offset * tileWidth;
      const column = Math.floor(along / tileWidth);
      const isSeam = inRow || along - column * tileWidth < seam;
      const shade = isSeam ? change : shades[(row * 7 + column) & 63]!;
      for (const plane of picture.planes) plane[y * width + x]! += shade;
    }
  }
  return picture;
}

/** Things in all colours, out of focus. */
function cluttered(random: RandomSource, width: number, height: number, size: number): Picture {
  const picture = newPicture(width, height, groundColour(random));
  const things = integer(random, 2, 8);
  for (let thing = 0; thing < things; thing++) {
    const halves = [between(random, 0.2, 2.5) * size, between(random, 0.1, 1.2) * size] as const;
    const shape = turnedRectangle(halves[0], halves[1], between(random, 0, Math.PI));
    const [x, y] = [between(random, 0, width), between(random, 0, height)];
    const mask = fillMask(warped(shape, [moved(x, y)]), width, height);
    paint(picture, mask, groundColour(random), between(random, 0.5, 1));
  }
  return outOfFocus(picture, size * between(random, 0.02, 0.15));
}

function turnedRectangle(halfWidth: number, halfHeight: number, angle: number): Outline {
  const bounds = { left: -halfWidth, right: halfWidth, least: -halfHeight, most: halfHeight };
  return warped(rectangle(bounds, Infinity, Math.min(halfWidth, halfHeight) * 0.3), [rotation(angle)]);
}

/** Leaves, crowds, reflections: three colours mixed by noise. */
function natural(random: RandomSource, width: number, height: number, size: number): Picture {
  const first = groundColour(random);
  const second = varied(random, first, 45);
  const third = groundColour(random);
  const cell = size * between(random, 0.25, 1.5);
  const mix = layeredNoise(random, width, height, cell, cell, 3);
  const patches = smoothNoise(random, width, height, 2 * cell, 2 * cell);
  const picture = newPicture(width, height, first);
  picture.planes.forEach((plane, channel) => {
    for (let i = 0; i < plane.length; i++) {
      const share = Math.min(Math.max(0.5 + mix[i]!, 0), 1);
      const value = plane[i]! + (second[channel]! - plane[i]!) * share;
      const patch = Math.min(Math.max((patches[i]! - 0.55) * 6, 0), 0.8);
      plane[i] = value + (third[channel]! - value) * patch;
    }
  });
  return picture;
}

function outOfFocus(picture: Picture, deviation: number): Picture {
  const { width, height } = picture;
  const [red, green, blue] = picture.planes;
  const blur = (plane: Float32Array): Float32Array => gaussianBlur(plane, width, height, deviation);
  return { width, height, planes: [blur(red), blur(green), blur(blue)] };
}

/** A part of a photograph with the proportions of the crop, brought to its size. */
function partOf(random: RandomSource, photograph: Photograph, width: number, height: number): Picture {
  const largest = Math.min(photograph.width / width, photograph.height / height);
  const scale = largest * between(random, 0.3, 1);
  const left = between(random, 0, photograph.width - width * scale);
  const top = between(random, 0, photograph.height - height * scale);
  const picture = newPicture(width, height, [0, 0, 0]);
  const { data } = photograph;
  for (let y = 0; y < height; y++) {
    const row = Math.min(Math.floor(top + (y + 0.5) * scale), photograph.height - 1) * photograph.width;
    for (let x = 0; x < width; x++) {
      const from = 3 * (row + Math.min(Math.floor(left + (x + 0.5) * scale), photograph.width - 1));
      for (let channel = 0; channel < 3; channel++) {
        picture.planes[channel]![y * width + x] = data[from + channel]!;
      }
    }
  }
  return outOfFocus(picture, Math.min(0.5 * Math.max(scale, 1 / scale), 3));
}
