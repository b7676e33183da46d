/** Which of a model's branches a validation reads with, and which images count. */
import { expect, test } from '@jest/globals';
import type { TrainableModel } from '../train/trainable_model.js';
import type { DataSource, Sample } from '../train/data/data_source.js';
import { memorySource } from '../train/data/memory_data_set.js';
import { Validation } from '../train/validation.js';
import { CharsetTokenizer, presetOf } from '../model/index.js';
import { useDevice } from './support/device.js';
import { samples } from './support/small_run.js';
import { unrulySource } from './support/unruly_data_set.js';

const device = useDevice();

const tokenizer = new CharsetTokenizer(presetOf('base').charset);

/** Logits of one text, `[1, 2, 95]`. */
function logitsOf(character: string): Float32Array<ArrayBuffer> {
  const logits = new Float32Array(2 * 95);
  const id = Array.from(presetOf('base').charset).indexOf(character) + 1;
  logits[id] = 50;
  logits[95 + tokenizer.endId] = 50;
  return logits;
}

/** A model that reads the same in every image of a batch of one: 'b', and 'a' by its visual branch. */
const model = {
  configuration: presetOf('base'),
  tokenizer,
  recognize: () =>
    Promise.resolve({
      logits: device().tensor(logitsOf('b'), [1, 2, 95]),
      visualLogits: device().tensor(logitsOf('a'), [1, 2, 95]),
    }),
} as unknown as TrainableModel;

/** @param sources of the sets, by their names */
async function withValidation(
  sources: Readonly<Record<string, DataSource>>,
  work: (validation: Validation, notices: readonly string[]) => Promise<void>,
): Promise<void> {
  const sets = Object.entries(sources).map(([name, source]) => ({ name, source }));
  const notices: string[] = [];
  const onNotice = (notice: string): void => void notices.push(notice);
  const options = { batchSize: 1, threads: 1, onCorrupt: () => undefined, onNotice };
  const validation = await Validation.open(device(), model, sets, options);
  try {
    await work(validation, notices);
  } finally {
    await validation.close();
  }
}

test.each([
  [true, 100],
  [false, 0],
])(
  'visual branch alone: %s',
  (visualOnly, accuracy) =>
    withValidation(
      { words: memorySource(samples.filter(({ label }) => label === 'a').slice(0, 2)) },
      async (validation) => {
        const read = await validation.run({ visualOnly });
        expect(read?.combined).toMatchObject({ samples: 2, accuracy });
      },
    ),
  60_000,
);

test('images that cannot be read count as nothing, whatever stands in for them, each time', () => {
  const [good, other] = samples as [Sample, Sample];
  const damaged = { ...other, image: (other.image as Uint8Array).subarray(0, 60) };
  const set = [{ ...good, label: 'c' }, damaged, { ...good, label: 'b', source: 'b.png' }, damaged];
  return withValidation({ words: memorySource(set) }, async (validation) => {
    for (let round = 0; round < 2; round++) {
      const { sets, combined, unreadable, samples: shown } = (await validation.run())!;
      expect(sets).toMatchObject([{ samples: 2, accuracy: 50 }]);
      expect(combined).toMatchObject({ samples: 2, accuracy: 50 });
      expect(unreadable).toBe(2);
      expect(shown.map(({ source }) => source)).toEqual([good.source, 'b.png']);
    }
  });
}, 60_000);

const unreadable = samples.slice(0, 3).map((sample) => ({ ...sample, image: new Uint8Array(9) }));

test('sets without an image that can be read are left out at once, with their number', () => {
  const sources = {
    broken: memorySource(unreadable),
    none: memorySource([]),
    words: memorySource(samples.slice(0, 2)),
  };
  return withValidation(sources, async (validation, notices) => {
    expect(notices).toEqual([
      expect.stringMatching(
        /^validation set broken: 3 samples in a row cannot be used, .* the last is words\/2\.png: not an image.*; nothing is validated on it\.$/,
      ),
      'validation set none: the data set has no samples; nothing is validated on it.',
    ]);
    expect((await validation.run())?.sets).toMatchObject([{ name: 'words', samples: 2 }]);
    expect(notices).toHaveLength(2);
  });
}, 60_000);

test(
  'where no set is left it is said what that means',
  () =>
    withValidation({ broken: memorySource(unreadable) }, (validation, notices) => {
      expect(notices).toHaveLength(2);
      expect(notices[1]).toMatch(/^no validation set is left: .* no best\.safetensors is written\.$/);
      expect(validation.isEmpty).toBe(true);
      return Promise.resolve();
    }),
  60_000,
);

test('sets that cannot be read any more are tried again each time', () => {
  const [first, second] = Array.from({ length: 2 }, () => new Int32Array(new SharedArrayBuffer(4)));
  const words = samples.slice(0, 4);
  const sources = {
    first: unrulySource({ samples: words, gone: first! }),
    second: unrulySource({ samples: words, gone: second! }),
  };
  return withValidation(sources, async (validation, notices) => {
    expect(await validation.run()).toMatchObject({ sets: [{}, {}], complete: true });
    first![0] = 1;
    const without = { sets: [{ name: 'second', samples: 4 }], complete: false };
    expect(await validation.run()).toMatchObject(without);
    expect(await validation.run()).toMatchObject(without);
    expect(notices).toEqual([
      expect.stringMatching(
        /^validation set first: 4 samples .* the disk is gone; until it can be read again nothing is validated on it, and no model is the best\.$/,
      ),
    ]);
    second![0] = 1;
    expect(await validation.run()).toBeUndefined();
    expect(notices).toHaveLength(2);
    first![0] = second![0] = 0;
    expect(await validation.run()).toMatchObject({
      sets: [{ name: 'first' }, { name: 'second' }],
      complete: true,
    });
    expect(notices.slice(2)).toEqual(
      ['first', 'second'].map((name) => `validation set ${name} can be read again.`),
    );
    expect(validation.isEmpty).toBe(false);
  });
}, 60_000);

test('a set that is away where a run goes on on another device still counts', () => {
  const gone = new Int32Array(new SharedArrayBuffer(4));
  const words = samples.slice(0, 4);
  const sources = { first: unrulySource({ samples: words, gone }), second: memorySource(words) };
  return withValidation({ ...sources, broken: memorySource(unreadable) }, async (before) => {
    expect(before.readable.map(({ name }) => name)).toEqual(['first', 'second']);
    gone[0] = 1;
    const notices: string[] = [];
    const onNotice = (notice: string): void => void notices.push(notice);
    const options = { batchSize: 1, threads: 1, onCorrupt: () => undefined, onNotice };
    const after = await Validation.open(device(), model, [], options, before.readable);
    try {
      expect(await after.run()).toMatchObject({ sets: [{ name: 'second' }], complete: false });
      expect(notices).toEqual([]);
      gone[0] = 0;
      expect(await after.run()).toMatchObject({ sets: [{ name: 'first' }, {}], complete: true });
      expect(notices).toEqual(['validation set first can be read again.']);
    } finally {
      await after.close();
    }
  });
}, 60_000);
