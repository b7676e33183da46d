/** What light, lens and camera do to the scene. */
import type { RgbImage } from '../../../model/rgb_image.js';
import { resizeBicubic } from '../../../model/resize.js';
import type { RandomSource } from '../rand_augment_noise.js';
import { between, chance, clamp, logNormal, normal } from './choices.js';
import { gaussianBlur, motionBlur } from './filters.js';
import { compressed } from './jpeg_artifacts.js';
import { smoothNoise } from './noise.js';
import { type Picture, toRgbImage } from './picture.js';

/** Share of pictures that no camera has seen: screens, posters, scans. */
const drawnShare = 0.15;

/** Photographs the scene. @param letterHeight in pixels: what can be read is a matter of it */
export function photographed(random: RandomSource, scene: Picture, letterHeight: number): RgbImage {
  if (chance(random, drawnShare)) return stored(random, toRgbImage(scene));
  lit(random, scene, letterHeight);
  exposed(random, scene);
  const seen = toRgbImage(outOfFocus(random, scene, letterHeight));
  const resolved = fromAfar(random, seen, letterHeight);
  grainy(random, resolved);
  return stored(random, resolved);
}

function stored(random: RandomSource, image: RgbImage): RgbImage {
  if (!chance(random, 0.65)) return image;
  const quality = clamp(Math.round(72 + 16 * normal(random)), 22, 97);
  return compressed(image, quality, chance(random, 0.8));
}

/** Uneven light: a slope, a shadow's edge, or a bright spot. */
function lit(random: RandomSource, { width, height, planes }: Picture, letterHeight: number): void {
  if (chance(random, 0.35)) {
    const angle = between(random, 0, 2 * Math.PI);
    const [across, down] = [Math.cos(angle), Math.sin(angle)].map(
      (part) => part * between(random, 0.05, 0.35),
    );
    multiplyEach(
      planes,
      width,
      height,
      (x, y) => 1 + across! * (x / width - 0.5) + down! * (y / height - 0.5),
    );
  }
  if (chance(random, 0.06)) {
    const [angle, darkness] = [between(random, 0, 2 * Math.PI), between(random, 0.15, 0.5)];
    const [across, down] = [Math.cos(angle), Math.sin(angle)];
    const [edgeX, edgeY] = [between(random, 0.2, 0.8) * width, between(random, 0.2, 0.8) * height];
    const softness = letterHeight * between(random, 0.05, 0.4);
    multiplyEach(planes, width, height, (x, y) => {
      const beyond = ((x - edgeX) * across + (y - edgeY) * down) / softness;
      return 1 - darkness * clamp(0.5 + beyond, 0, 1);
    });
  }
  if (chance(random, 0.07)) {
    const [spotX, spotY] = [between(random, 0, width), between(random, 0, height)];
    const [radius, strength] = [letterHeight * between(random, 0.4, 2), between(random, 20, 110)];
    addEach(
      planes,
      width,
      (x, y) => strength * Math.exp(-((x - spotX) ** 2 + (y - spotY) ** 2) / radius ** 2),
    );
  }
  if (chance(random, 0.08)) {
    const cell = letterHeight * between(random, 0.3, 1.5);
    const [reflection, strength] = [smoothNoise(random, width, height, cell, cell), between(random, 10, 45)];
    addEach(planes, width, (x, y) => strength * reflection[y * width + x]!);
  }
}

/** Exposure, contrast and the colour of the light. */
function exposed(random: RandomSource, { planes }: Picture): void {
  const contrast = chance(random, 0.22) ? between(random, 0.45, 0.9) : between(random, 0.9, 1.05);
  const haze = between(random, 20, 235);
  const gain = chance(random, 0.12) ? between(random, 0.35, 0.75) : clamp(1 + 0.1 * normal(random), 0.7, 1.3);
  const casts = planes.map(() => gain * clamp(1 + 0.05 * normal(random), 0.85, 1.15));
  const colourKept = chance(random, 0.08) ? 0 : chance(random, 0.3) ? between(random, 0.3, 1) : 1;
  const [red, green, blue] = planes;
  const [castRed, castGreen, castBlue] = casts as [number, number, number];
  const offset = haze * (1 - contrast);
  for (let i = 0; i < red.length; i++) {
    const grey = (0.299 * red[i]! + 0.587 * green[i]! + 0.114 * blue[i]!) * (1 - colourKept);
    red[i] = ((grey + red[i]! * colourKept) * contrast + offset) * castRed;
    green[i] = ((grey + green[i]! * colourKept) * contrast + offset) * castGreen;
    blue[i] = ((grey + blue[i]! * colourKept) * contrast + offset) * castBlue;
  }
}

function outOfFocus(random: RandomSource, scene: Picture, letterHeight: number): Picture {
  const { width, height, planes } = scene;
  // The edges of a lens are never quite sharp, nor those of printed letters.
  const deviation = chance(random, 0.35)
    ? between(random, 0.25, 0.6)
    : Math.min(logNormal(random, 0.022, 0.6) * letterHeight, 0.07 * letterHeight);
  const moving = chance(random, 0.08);
  const [length, angle] = [letterHeight * between(random, 0.05, 0.18), between(random, 0, Math.PI)];
  const blur = (plane: Float32Array): Float32Array => {
    const soft = gaussianBlur(plane, width, height, deviation);
    return moving ? motionBlur(soft, width, height, length, angle) : soft;
  };
  return { width, height, planes: [blur(planes[0]), blur(planes[1]), blur(planes[2])] };
}

/** Letters can still be told apart at this height. */
const leastLetterPixels = 8;

/** Taken with few pixels and enlarged. */
function fromAfar(random: RandomSource, image: RgbImage, letterHeight: number): RgbImage {
  const most = letterHeight / leastLetterPixels;
  if (most < 1.2 || !chance(random, 0.22)) return image;
  const factor = Math.min(between(random, 1.2, 3.5), most);
  const [height, width] = [image.height, image.width].map((side) => Math.max(4, Math.round(side / factor)));
  return resizeBicubic(resizeBicubic(image, height!, width!), image.height, image.width);
}

const grainBits = 10;
const grains = 2 ** grainBits;

/** Noise of the sensor, in place. */
function grainy(random: RandomSource, { data }: RgbImage): void {
  if (!chance(random, 0.5)) return;
  const deviation = Math.min(logNormal(random, 4, 0.6), 16);
  const coloured = chance(random, 0.6);
  const grain = Float32Array.from({ length: grains }, () => deviation * normal(random));
  const clamped = new Uint8ClampedArray(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < data.length; i += 3) {
    // One number of chance is enough for three grains.
    const bits = Math.floor(random.next() * 2 ** (3 * grainBits));
    const [second, third] = coloured ? [bits >> grainBits, bits >> (2 * grainBits)] : [bits, bits];
    clamped[i]! += grain[bits & (grains - 1)]!;
    clamped[i + 1]! += grain[second & (grains - 1)]!;
    clamped[i + 2]! += grain[third & (grains - 1)]!;
  }
}

type Planes = Picture['planes'];

function multiplyEach(
  planes: Planes,
  width: number,
  height: number,
  factor: (x: number, y: number) => number,
): void {
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const by = factor(x, y);
      for (const plane of planes) plane[y * width + x]! *= by;
    }
  }
}

function addEach(planes: Planes, width: number, term: (x: number, y: number) => number): void {
  for (let i = 0; i < planes[0].length; i++) {
    const add = term(i % width, Math.floor(i / width));
    for (const plane of planes) plane[i]! += add;
  }
}
