import { beforeAll, describe, expect, test } from '@jest/globals';
import { RandomGenerator } from '../engine/random.js';
import { preprocessImage } from '../model/image.js';
import { openDataSource } from '../train/data/data_source.js';
import { Loader } from '../train/data/loader.js';
import { paintBackground } from '../train/data/synth/backgrounds.js';
import { fillMask } from '../train/data/synth/coverage.js';
import { blurred } from '../train/data/synth/filters.js';
import { FontFace } from '../train/data/synth/font_face.js';
import { Synthesizer, gatherMaterial, syntheticSource } from '../train/data/synth/index.js';
import type { GatheredMaterial, SyntheticWord } from '../train/data/synth/index.js';
import { layOut } from '../train/data/synth/layout.js';
import { paintLettering, styles } from '../train/data/synth/lettering.js';
import { lumaOf, statisticsOf } from '../train/data/synth/picture.js';

let gathered: GatheredMaterial;

beforeAll(async () => {
  gathered = await gatherMaterial();
});

function make(seed: number, count: number): SyntheticWord[] {
  const synthesizer = new Synthesizer(gathered.material);
  return Array.from({ length: count }, (_, index) => synthesizer.synthesize(seed, index));
}

function deviation({ image: { data } }: SyntheticWord): number {
  let [sum, squares] = [0, 0];
  for (let i = 0; i < data.length; i += 3) {
    const luma = 0.299 * data[i]! + 0.587 * data[i + 1]! + 0.114 * data[i + 2]!;
    sum += luma;
    squares += luma * luma;
  }
  const count = data.length / 3;
  return Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2));
}

describe('images', () => {
  test('of a seed and number are always the same, in whatever order they are made', () => {
    const inOrder = make(5, 24);
    const synthesizer = new Synthesizer(gathered.material);
    for (let index = 23; index >= 0; index--) {
      const again = synthesizer.synthesize(5, index);
      expect(again.label).toBe(inOrder[index]!.label);
      expect(Buffer.compare(again.image.data, inOrder[index]!.image.data)).toBe(0);
    }
  });

  test('of other seeds and numbers are others', () => {
    const all = [...make(5, 20), ...make(6, 20), ...make(2 ** 40, 20)];
    expect(new Set(all.map(({ image }) => Buffer.from(image.data).toString('base64'))).size).toBe(60);
  });

  test('have the size they say, bounds that hold, and something to see', () => {
    const words = make(7, 160);
    for (const { image } of words) {
      expect(image.data.length).toBe(3 * image.width * image.height);
      expect(Math.min(image.width, image.height)).toBeGreaterThanOrEqual(4);
      expect(image.width).toBeLessThanOrEqual(700);
      expect(image.height).toBeLessThanOrEqual(700);
    }
    const deviations = words.map(deviation).sort((a, b) => a - b);
    expect(deviations[0]).toBeGreaterThan(3);
    expect(deviations[16]).toBeGreaterThan(12);
    const heights = words.map(({ image }) => image.height).sort((a, b) => a - b);
    expect(heights[8]).toBeGreaterThan(12);
    expect(heights[80]).toBeGreaterThan(30);
    expect(heights[80]).toBeLessThan(60);
  });

  test('say in capitals what fonts without small letters draw', () => {
    const families = gathered.material.families.filter(({ name }) => name === 'Bebas Neue');
    expect(families).toHaveLength(1);
    const synthesizer = new Synthesizer({
      ...gathered.material,
      families,
      ownWords: ['small-7'],
      ownShare: 1,
    });
    expect(synthesizer.synthesize(1, 1).label).toBe('SMALL-7');
    const others = gathered.material.families.filter(({ faces }) => faces.some((face) => face.capitalsOnly));
    expect(others.map(({ name }) => name)).toContain('Permanent Marker');
    expect(others.map(({ name }) => name)).not.toContain('Pacifico');
    expect(others.map(({ name }) => name)).not.toContain('PT Serif');
  });

  test('never hold characters that the font lacks', () => {
    // A font of which only the digits are left.
    const family = gathered.material.families.find(({ name }) => name === 'Abel')!;
    const codePoints = family.faces[0]!.codePoints.map((codePoint) =>
      codePoint < 0x3a ? codePoint : 0xe000,
    );
    const families = [{ ...family, faces: [{ ...family.faces[0]!, codePoints }] }];
    const synthesizer = new Synthesizer({ ...gathered.material, families });
    for (let index = 0; index < 30; index++) {
      expect(synthesizer.synthesize(9, index).label).toMatch(/^[!-9]+$/);
    }
    const none = new Synthesizer({ ...gathered.material, families, ownWords: ['letters'], ownShare: 1 });
    expect(() => none.synthesize(9, 3)).toThrow(/image 3: none of the fonts can draw/);
  });

  test.each([1, 2, 4])('are no longer than a longest text of %p', (longestText) => {
    const synthesizer = new Synthesizer({ ...gathered.material, longestText });
    for (let index = 0; index < 30; index++) {
      const { length } = synthesizer.synthesize(2, index).label;
      expect(length).toBeGreaterThan(0);
      expect(length).toBeLessThanOrEqual(longestText);
    }
  });

  test('refuse numbers that are none', () => {
    const synthesizer = new Synthesizer(gathered.material);
    expect(() => synthesizer.synthesize(-1, 0)).toThrow(/seed -1/);
    expect(() => synthesizer.synthesize(0, 1.5)).toThrow(/1\.5/);
  });
});

describe('lettering', () => {
  test.each(styles.map(([, style]) => style))('%s stands out from what is behind it', (style) => {
    const { families } = gathered.material;
    const contrasts: number[] = [];
    for (let seed = 0; seed < 30; seed++) {
      const random = new RandomGenerator(seed, 77);
      const face = new FontFace(families[seed % families.length]!.faces[0]!);
      const layout = layOut(random, face, 'Word', false, () => 'beside')!;
      const picture = paintBackground(random, layout.width, layout.height, layout.letterHeight, []);
      paintLettering(random, picture, layout, style);
      const letters = fillMask(layout.word, layout.width, layout.height);
      // Where strokes are: letters and as much of their surroundings.
      const near = blurred(letters, 0.08 * layout.letterHeight);
      contrasts.push(statisticsOf(lumaOf(picture), near).deviation);
    }
    contrasts.sort((a, b) => a - b);
    expect(contrasts[0]).toBeGreaterThan(5);
    expect(contrasts[2]).toBeGreaterThan(10);
    expect(contrasts[15]).toBeGreaterThan(22);
  });
});

describe('as a data set of the loader', () => {
  const rules = { charset: '94', maxLabelLength: 25, removeWhitespace: true, normalizeUnicode: true };

  test('has labels as the training charset wants them', async () => {
    const material = { ...gathered.material, ownWords: ['Two Words', '!?', 'far-too-long'], ownShare: 1 };
    const letters = { ...rules, charset: 'abcdefghijklmnopqrstuvwxyz', maxLabelLength: 9 };
    const set = await openDataSource(syntheticSource({ material, seed: 3, length: 40, rules: letters }));
    const labels = await Promise.all(Array.from({ length: 40 }, async (_, i) => (await set.sample(i)).label));
    // Fonts without small letters have none to lose: the charset brings both into small ones.
    expect(new Set(labels)).toEqual(new Set(['twowords']));
    const none = { ...letters, charset: '0123456789' };
    const empty = await openDataSource(syntheticSource({ material, seed: 3, length: 2, rules: none }));
    expect(() => empty.sample(1)).toThrow(/none of 16 words has a label/);
    expect(() => syntheticSource({ material, seed: 3, length: 2 ** 28 + 1, rules })).toThrow(/268435457/);
  });

  test('gives the same images on any thread, ready to be trained on', async () => {
    const expected = make(5, 24);
    const loader = await Loader.open({
      source: syntheticSource({ material: gathered.material, seed: 5, length: 24, rules }),
      batchSize: 8,
      shuffle: false,
      dropLast: false,
      onCorrupt: ({ reason }) => {
        throw new Error(reason);
      },
      threads: 2,
      epochs: 1,
      seed: 0,
      imageSize: [32, 128],
      normalization: 'half',
      augment: false,
    });
    try {
      for (let batch = 0; batch < 3; batch++) {
        const { pixels, labels, sources } = (await loader.next())!;
        expect(labels).toEqual(expected.slice(8 * batch, 8 * batch + 8).map(({ label }) => label));
        expect(sources[1]).toBe(`synthetic word ${8 * batch + 1} of seed 5`);
        const [first] = expected.slice(8 * batch);
        expect(pixels.subarray(0, 3 * 32 * 128)).toEqual(preprocessImage(first!.image, [32, 128], 'half'));
      }
    } finally {
      await loader.close();
    }
  });
});
