import { readFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { RandomGenerator } from '../engine/random.js';
import { decodeImage } from '../model/decode_image.js';
import { between, integer } from '../train/data/synth/choices.js';
import { fillMask, strokeMask } from '../train/data/synth/coverage.js';
import { gaussianBlur, motionBlur, shifted } from '../train/data/synth/filters.js';
import { compressed } from '../train/data/synth/jpeg_artifacts.js';
import { type Outline, boundsOf, rectangle, warped } from '../train/data/synth/outline.js';
import { arc, moved, perspective, rotation, toPixels, wave } from '../train/data/synth/warps.js';
import { samplePath } from './support/command.js';

const [width, height] = [23, 17];

describe('coverage', () => {
  test('is the exact area of triangles in every pixel, also of those that reach beyond the picture', () => {
    const random = new RandomGenerator(1);
    for (let round = 0; round < 40; round++) {
      const points = Float32Array.from({ length: 6 }, (_, i) =>
        i % 2 === 0 ? between(random, -8, width + 8) : between(random, -8, height + 8),
      );
      const { values } = fillMask({ points, ends: Int32Array.of(3) }, width, height);
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const expected = Math.abs(areaInPixel(points, x, y));
          expect(Math.abs(values[y * width + x]! - expected)).toBeLessThan(2e-4);
        }
      }
    }
  });

  test('counts what overlaps once, and leaves holes that turn the other way', () => {
    const square = (least: number, most: number): Outline =>
      rectangle({ left: least, right: most, least, most }, Infinity);
    const twice = joinedPolygons([square(2, 10), square(5, 14)]);
    const values = fillMask(twice, width, height).values;
    expect(values[7 * width + 7]).toBe(1);
    expect(Math.max(...values)).toBe(1);
    const hole = square(5, 8);
    const backwards = { ...hole, points: reversedPoints(hole.points) };
    const ring = fillMask(joinedPolygons([square(2, 14), backwards]), width, height).values;
    expect(ring[6 * width + 6]).toBe(0);
    expect(ring[3 * width + 3]).toBe(1);
  });

  test('of a line is what lies within half its width of the edge', () => {
    const outline = rectangle({ left: 5.3, right: 16.1, least: 4.4, most: 12.2 }, 1.3);
    const { values } = strokeMask(outline, 3, width, height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const [px, py] = [x + 0.5, y + 0.5];
        const [outX, outY] = [Math.max(5.3 - px, px - 16.1), Math.max(4.4 - py, py - 12.2)];
        const outside = Math.hypot(Math.max(outX, 0), Math.max(outY, 0));
        const distance = outside > 0 ? outside : -Math.max(outX, outY);
        if (distance < 0.7) expect(values[y * width + x]).toBeGreaterThan(0.99);
        if (distance > 2.3) expect(values[y * width + x]).toBe(0);
      }
    }
  });

  test('ignores points that are no numbers and shapes without points', () => {
    const broken = { points: Float32Array.of(1, NaN, Infinity, 3, 4, 5), ends: Int32Array.of(3) };
    for (const value of fillMask(broken, width, height).values) expect(value).toBeGreaterThanOrEqual(0);
    const nothing = { points: new Float32Array(), ends: new Int32Array() };
    expect(Math.max(...fillMask(nothing, width, height).values)).toBe(0);
  });
});

describe('bending', () => {
  test('arcs keep lengths along the baseline and turn letters outwards', () => {
    const line = {
      points: Float32Array.from({ length: 42 }, (_, i) => (i % 2 ? 0 : i / 10)),
      ends: Int32Array.of(21),
    };
    const bent = warped(line, [arc(2, 4, 1.5)]).points;
    let length = 0;
    for (let i = 2; i < bent.length; i += 2) {
      length += Math.hypot(bent[i]! - bent[i - 2]!, bent[i + 1]! - bent[i - 1]!);
    }
    expect(length).toBeCloseTo(4, 2);
    // The middle stays where it was, the ends sink on both sides.
    expect(bent[21]!).toBeCloseTo(0, 5);
    expect(bent[1]!).toBeLessThan(-0.3);
    expect(bent[41]!).toBeCloseTo(bent[1]!, 5);
    const downwards = warped(line, [arc(2, 4, -1.5)]).points;
    expect(downwards[1]!).toBeGreaterThan(0.3);
  });

  test('leaves the shape that was given as it is', () => {
    const shape = rectangle({ left: 0, right: 2, least: 0, most: 1 }, 0.5, 0.1);
    const before = shape.points.slice();
    warped(shape, [
      wave(0.2, 2, 1),
      rotation(0.3),
      perspective(1, 0.5, 0.2, -0.1),
      moved(1, 2),
      toPixels(10, 3, 4),
    ]);
    expect(shape.points).toEqual(before);
    const { left, right, least, most } = boundsOf(shape);
    expect([left, right, least, most]).toEqual([0, 2, 0, 1]);
  });
});

describe('filters', () => {
  const noise = (): Float32Array => {
    const random = new RandomGenerator(5);
    return Float32Array.from({ length: 60 * 40 }, () => integer(random, 0, 255));
  };

  test.each([0.8, 1, 2.4, 2.6, 6])('blur of deviation %d spreads a dot as a Gaussian does', (deviation) => {
    const dot = new Float32Array(81 * 81);
    dot[40 * 81 + 40] = 1;
    const blurred = gaussianBlur(dot, 81, 81, deviation);
    let [sum, variance] = [0, 0];
    blurred.forEach((value, i) => {
      sum += value;
      variance += value * ((i % 81) - 40) ** 2;
    });
    expect(sum).toBeCloseTo(1, 4);
    expect(Math.sqrt(variance)).toBeGreaterThan(0.85 * deviation);
    expect(Math.sqrt(variance)).toBeLessThan(1.15 * deviation + 0.05);
  });

  test('leave what is the same everywhere as it is', () => {
    const even = new Float32Array(60 * 40).fill(77);
    for (const blur of [
      gaussianBlur(even, 60, 40, 1),
      gaussianBlur(even, 60, 40, 9),
      motionBlur(even, 60, 40, 7, 0.4),
    ]) {
      for (const value of blur) expect(Math.abs(value - 77)).toBeLessThan(1e-3);
    }
  });

  test('shift masks by whole pixels in every direction', () => {
    const mask = { width: 60, height: 40, values: noise() };
    for (const [dx, dy] of [
      [3, 2],
      [-3, 2],
      [0, -5],
      [70, 0],
      [0, 50],
    ] as const) {
      const { values } = shifted(mask, dx, dy);
      for (let y = 0; y < 40; y++) {
        for (let x = 0; x < 60; x++) {
          const inside = x - dx >= 0 && x - dx < 60 && y - dy >= 0 && y - dy < 40;
          const expected = inside ? mask.values[(y - dy) * 60 + x - dx] : 0;
          expect(values[y * 60 + x]).toBe(expected);
        }
      }
    }
  });
});

describe('JPEG artifacts', () => {
  test.each([
    [25, true, 0.5],
    // Where colour is halved, libjpeg smooths it when it is doubled again.
    [60, true, 0.7],
    [85, false, 0.5],
  ])('of quality %d are nearly those of libjpeg', async (quality, halvedColour, share) => {
    const image = await decodeImage(await readFile(samplePath('hotel.png')));
    const raw = { width: image.width, height: image.height, channels: 3 as const };
    const file = await sharp(image.data, { raw })
      .jpeg({ quality, chromaSubsampling: halvedColour ? '4:2:0' : '4:4:4' })
      .toBuffer();
    const theirs = await sharp(file).raw().toBuffer();
    const ours = compressed(image, quality, halvedColour).data;
    expect(rootMeanSquare(ours, theirs)).toBeLessThan(share * rootMeanSquare(image.data, theirs));
  });

  test('spare an even picture, of any size', () => {
    for (const [columns, rows] of [
      [1, 1],
      [9, 7],
      [16, 8],
    ] as const) {
      const data = new Uint8Array(3 * columns * rows).fill(128);
      expect(compressed({ width: columns, height: rows, data }, 50, true).data).toEqual(data);
    }
  });
});

function rootMeanSquare(first: ArrayLike<number>, second: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < first.length; i++) sum += (first[i]! - second[i]!) ** 2;
  return Math.sqrt(sum / first.length);
}

/** Signed area of the part of a polygon in one pixel, by clipping it to each side of the pixel in turn. */
function areaInPixel(points: Float32Array, x: number, y: number): number {
  let polygon = Array.from({ length: points.length / 2 }, (_, i) => [
    points[2 * i]! - x,
    points[2 * i + 1]! - y,
  ]);
  for (const axis of [0, 1]) {
    for (const [limit, side] of [
      [0, 1],
      [1, -1],
    ] as const) {
      const inside = (point: number[]): number => side * (point[axis]! - limit);
      polygon = polygon.flatMap((point, i) => {
        const next = polygon[(i + 1) % polygon.length]!;
        const [a, b] = [inside(point), inside(next)];
        const kept = a >= 0 ? [point] : [];
        if (a >= 0 === b >= 0) return kept;
        return [...kept, point.map((value, k) => value + ((next[k]! - value) * a) / (a - b))];
      });
    }
  }
  let area = 0;
  polygon.forEach(([px, py], i) => {
    const [nextX, nextY] = polygon[(i + 1) % polygon.length]!;
    area += (px! * nextY! - nextX! * py!) / 2;
  });
  return area;
}

function joinedPolygons(outlines: readonly Outline[]): Outline {
  const points = outlines.flatMap((outline) => Array.from(outline.points));
  let count = 0;
  return {
    points: Float32Array.from(points),
    ends: Int32Array.from(outlines, (outline) => (count += outline.points.length / 2)),
  };
}

function reversedPoints(points: Float32Array): Float32Array {
  const count = points.length / 2;
  return points.map((_, i) => points[2 * (count - 1 - Math.floor(i / 2)) + (i % 2)]!);
}
