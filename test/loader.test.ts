import { afterEach, describe, expect, test } from '@jest/globals';
import { decodeImage } from '../model/decode_image.js';
import { preprocessImage } from '../model/image.js';
import { resizeBicubic } from '../model/resize.js';
import type { RgbImage } from '../model/rgb_image.js';
import type { Sample } from '../train/data/data_source.js';
import { epochOrder } from '../train/data/epoch_order.js';
import { type Batch, type CorruptSample, Loader, type LoaderOptions } from '../train/data/loader.js';
import { memorySource } from '../train/data/memory_data_set.js';
import { randAugment } from '../train/data/rand_augment.js';
import { sampleRandom } from '../train/data/sample_random.js';
import { runChild } from './support/child_script.js';
import { pngColour, pngFile } from './support/image_files.js';
import { Random } from './support/numbers.js';
import { unrulySource } from './support/unruly_data_set.js';

const seed = 77;
const imageSize = [8, 20] as const;
const values = 3 * imageSize[0] * imageSize[1];

/** Small images of different sizes; the label says which. */
const words: readonly Sample[] = Array.from({ length: 23 }, (_, index) => {
  const width = 6 + index;
  const height = 4 + (index % 5);
  const samples = Uint8Array.from(new Random(index).integers(width * height * 3, 256));
  return {
    image: pngFile({ width, height, bitDepth: 8, colourType: pngColour.rgb, samples }),
    label: `word${index}`,
    source: `words/${index}.png`,
  };
});

const openLoaders: Loader[] = [];
afterEach(async () => {
  await Promise.all(openLoaders.splice(0).map((loader) => loader.close()));
});

async function open(options: Partial<LoaderOptions> = {}): Promise<Loader> {
  const loader = await Loader.open({
    source: memorySource(words),
    imageSize,
    normalization: 'half',
    augment: true,
    seed,
    batchSize: 5,
    shuffle: true,
    dropLast: true,
    threads: 1,
    onCorrupt: ({ source, reason }) => {
      throw new Error(`${source}: ${reason}`);
    },
    ...options,
  });
  openLoaders.push(loader);
  return loader;
}

async function take(loader: Loader, count: number): Promise<Batch[]> {
  const batches: Batch[] = [];
  for (let index = 0; index < count; index++) batches.push((await loader.next())!);
  return batches;
}

/** What must not depend on threads and time. */
function content(batches: readonly Batch[]): unknown[] {
  return batches.map(({ pixels, labels, sources, position, next }) => ({
    pixels: Buffer.from(pixels.buffer, pixels.byteOffset, pixels.byteLength).toString('base64'),
    labels,
    sources,
    position,
    next,
  }));
}

describe('order', () => {
  test.each([0, 1, 2, 1000])('an epoch of %d samples has each once', (length) => {
    const order = epochOrder(length, 3, seed, true);
    expect(Array.from(order).sort((a, b) => a - b)).toEqual(Array.from({ length }, (_, index) => index));
  });

  test('each epoch and each seed has another order, always the same', () => {
    const order = (epoch: number, of = seed) => Array.from(epochOrder(50, epoch, of, true));
    expect(order(0)).toEqual(order(0));
    expect(order(0)).not.toEqual(order(1));
    expect(order(0)).not.toEqual(order(0, seed + 1));
    expect(order(0)).not.toEqual(Array.from(epochOrder(50, 0, seed, false)));
  });

  test('every place is as likely', () => {
    const counts = Array.from({ length: 4 }, () => [0, 0, 0, 0]);
    for (let epoch = 0; epoch < 4000; epoch++) {
      for (const [place, index] of epochOrder(4, epoch, seed, true).entries()) counts[place]![index]!++;
    }
    // The standard error is 27.
    for (const count of counts.flat()) expect(Math.abs(count - 1000)).toBeLessThan(140);
  });

  test('without shuffling samples come as they are, the rest last, until the epochs end', async () => {
    const loader = await open({ shuffle: false, dropLast: false, batchSize: 10, epochs: 2 });
    expect([loader.length, loader.batchesPerEpoch]).toEqual([23, 3]);
    const batches = await take(loader, 6);
    expect(batches.slice(0, 3).flatMap(({ labels }) => labels)).toEqual(words.map(({ label }) => label));
    expect(batches.slice(0, 3).flatMap(({ sources }) => sources)).toEqual(words.map(({ source }) => source));
    expect(batches.map(({ pixels }) => pixels.length / values)).toEqual([10, 10, 3, 10, 10, 3]);
    expect(batches.map(({ position }) => position)).toEqual(
      [0, 1].flatMap((epoch) => [0, 10, 20].map((sample) => ({ epoch, sample }))),
    );
    expect(batches.map(({ next }) => next).slice(1, 3)).toEqual([
      { epoch: 0, sample: 20 },
      { epoch: 1, sample: 0 },
    ]);
    expect(await loader.next()).toBeUndefined();
  });

  test('a smaller last batch can be left out', async () => {
    const loader = await open({ shuffle: false, batchSize: 10 });
    expect(loader.batchesPerEpoch).toBe(2);
    const batches = await take(loader, 3);
    expect(batches.map(({ labels }) => labels[0])).toEqual(['word0', 'word10', 'word0']);
  });
});

describe('treatment', () => {
  test('without augmentation a sample is what reading makes of its image', async () => {
    const loader = await open({ shuffle: false, augment: false, normalization: 'clip' });
    const [batch] = await take(loader, 1);
    for (const index of [0, 4]) {
      const expected = preprocessImage(
        await decodeImage(words[index]!.image as Uint8Array),
        imageSize,
        'clip',
      );
      expect(batch!.pixels.slice(index * values, (index + 1) * values)).toEqual(expected);
    }
  });

  test('augmentation is drawn by seed, epoch and position', async () => {
    const loader = await open({ start: { epoch: 2, sample: 5 } });
    const [batch] = await take(loader, 1);
    const order = epochOrder(words.length, 2, seed, true);
    for (const position of [5, 9]) {
      const image = await decodeImage(words[order[position]!]!.image as Uint8Array);
      const augmented = randAugment(image, sampleRandom(seed, 2, position));
      const at = (position - 5) * values;
      expect(batch!.pixels.slice(at, at + values)).toEqual(preprocessImage(augmented, imageSize, 'half'));
    }
  });

  test('pixels that are decoded already are taken, and shrunk where turning them would take gigabytes', async () => {
    const long: RgbImage = { width: 9000, height: 3, data: new Uint8Array(27000).map((_, at) => at * 31) };
    const loader = await open({
      source: memorySource([{ image: long, label: 'long', source: 'made' }]),
      batchSize: 1,
    });
    const [batch] = await take(loader, 1);
    const shrunk = randAugment(resizeBicubic(long, 1, 4096), sampleRandom(seed, 0, 0));
    expect(batch!.pixels).toEqual(preprocessImage(shrunk, imageSize, 'half'));
  });
});

describe('what is delivered depends on the position alone', () => {
  test('with 1, 2 and 3 threads it is the same to the bit', async () => {
    const loaders = await Promise.all(
      [1, 2, 3].map((threads) => open({ threads, prefetchBatches: threads })),
    );
    const [one, two, three] = await Promise.all(
      loaders.map(async (loader) => content(await take(loader, 9))),
    );
    expect(two).toEqual(one);
    expect(three).toEqual(one);
  });

  test.each([
    [0, 15],
    [1, 0],
    [1, 10],
  ])('a loader started at epoch %d, sample %d goes on as one that was not stopped', async (epoch, sample) => {
    const whole = await take(await open({ threads: 2 }), 9);
    const before = whole.find(({ next }) => next.epoch === epoch && next.sample === sample)!;
    const resumed = await take(await open({ threads: 2, start: before.next }), 3);
    const from = whole.indexOf(before) + 1;
    expect(content(resumed)).toEqual(content(whole.slice(from, from + 3)));
  });

  test('other batches, of the same size or not, go on with the same samples', async () => {
    const options = { shuffle: false, dropLast: false, epochs: 2 };
    const loader = await open({ ...options, batchSize: 4, start: { epoch: 0, sample: 15 } });
    const batches = await take(loader, 8);
    expect(batches.map(({ labels }) => labels.length)).toEqual([4, 4, 4, 4, 4, 4, 4, 3]);
    expect(batches.map(({ labels }) => labels[0])).toEqual(
      [15, 19, 0, 4, 8, 12, 16, 20].map((index) => `word${index}`),
    );
    expect(await loader.next()).toBeUndefined();
  });

  test('where there are fewer samples than were taken, the next epoch begins', async () => {
    const loader = await open({ shuffle: false, epochs: 2, start: { epoch: 0, sample: 23 } });
    const batches = await take(loader, 4);
    expect(batches[0]!.position).toEqual({ epoch: 1, sample: 0 });
    expect(await loader.next()).toBeUndefined();
  });

  test('batches asked for at once come in order', async () => {
    const inTurn = content(await take(await open({ threads: 2 }), 4));
    const loader = await open({ threads: 2 });
    const atOnce = await Promise.all(Array.from({ length: 4 }, () => loader.next()));
    expect(content(atOnce as Batch[])).toEqual(inTurn);
  });
});

describe('damaged samples', () => {
  const damaged = new Set([2, 3, 22]);
  const samples = words.map((word, index) =>
    damaged.has(index) ? { ...word, image: (word.image as Uint8Array).subarray(0, 60) } : word,
  );

  async function read(threads: number): Promise<{ batches: Batch[]; reports: CorruptSample[] }> {
    const reports: CorruptSample[] = [];
    const loader = await open({
      source: memorySource(samples),
      shuffle: false,
      dropLast: false,
      threads,
      onCorrupt: (sample) => reports.push(sample),
    });
    return { batches: await take(loader, 7), reports };
  }

  test('are told of once, and the next good one stands in for them', async () => {
    const { batches, reports } = await read(1);
    expect(batches.map(({ labels }) => labels.length)).toEqual([5, 5, 5, 5, 3, 5, 5]);
    expect(batches[0]!.labels).toEqual(['word0', 'word1', 'word4', 'word4', 'word4']);
    // After the last sample the order begins again.
    expect(batches[4]!.labels).toEqual(['word20', 'word21', 'word0']);
    expect(batches[4]!.sources[2]).toBe('words/0.png');
    expect(batches.slice(0, 5).map(({ standsIn }) => standsIn)).toEqual([
      [false, false, true, true, false],
      new Array(5).fill(false),
      new Array(5).fill(false),
      new Array(5).fill(false),
      [false, false, true],
    ]);
    expect(reports.map(({ index, source }) => [index, source])).toEqual([
      [2, 'words/2.png'],
      [3, 'words/3.png'],
      [22, 'words/22.png'],
    ]);
    for (const { reason } of reports)
      expect(reason).toMatch(/^the image cannot be decoded: it may be damaged/);
  });

  test('do not depend on threads', async () => {
    const [one, three] = await Promise.all([read(1), read(3)]);
    expect(content(three.batches)).toEqual(content(one.batches));
    // The decoder's own words may be missing when another thread's message came between.
    const told = (reports: CorruptSample[]) => reports.map(({ index, source }) => [index, source]);
    expect(told(three.reports)).toEqual(told(one.reports));
  });

  test('one that cannot be read counts as damaged', async () => {
    const reports: CorruptSample[] = [];
    const loader = await open({
      source: unrulySource({ samples: words, fault: 'throw', faultyIndex: 1 }),
      shuffle: false,
      onCorrupt: (sample) => reports.push(sample),
    });
    const [batch] = await take(loader, 1);
    expect(batch!.labels).toEqual(['word0', 'word2', 'word2', 'word3', 'word4']);
    expect(reports).toEqual([{ index: 1, source: 'words/1.png', reason: 'the page is damaged' }]);
  });

  test('with no other the data set is refused', async () => {
    const none = words.map((word) => ({ ...word, image: new Uint8Array(9) }));
    const loader = await open({ source: memorySource(none), shuffle: false });
    await expect(loader.next()).rejects.toThrow(
      /^23 samples in a row cannot be used, .* the last is words\/22\.png: not an image: expected JPEG/,
    );
  });
});

describe('waiting and memory', () => {
  test('the time that the caller waited is told', async () => {
    const loader = await open({
      source: unrulySource({ samples: words, delayMs: 100 }),
      prefetchBatches: 1,
    });
    await loader.next();
    const [batch] = await take(loader, 1);
    // Five samples of 100 ms, of which only the first can have begun before the call.
    expect(batch!.waitMs).toBeGreaterThan(100);
    expect(batch!.waitMs).toBeLessThan(60_000);
  });

  test('no more is loaded than may be ahead', async () => {
    const counters = new Int32Array(new SharedArrayBuffer(8));
    const loader = await open({
      source: unrulySource({ samples: words, counters }),
      threads: 2,
      prefetchBatches: 3,
    });
    const settled = async (samples: number) => {
      while (Atomics.load(counters, 0) < samples) await pause(10);
      await pause(200);
      expect(Atomics.load(counters, 0)).toBe(samples);
    };
    await settled(15);
    await loader.next();
    await settled(20);
  });
});

describe('failure', () => {
  const faults = [
    [
      'exit',
      /^data loading thread 1 of 1 died while it loaded samples 5 to 9 of epoch 0: it ended with exit code 3\.$/,
    ],
    [
      'uncaught',
      /^data loading thread 1 of 1 died while it loaded samples 5 to 9 of epoch 0: Error: memory is out$/,
    ],
  ] as const;

  test.each(faults)('of a thread (%s) is told, now and later', async (fault, message) => {
    const loader = await open({
      source: unrulySource({ samples: words, fault, faultyIndex: 7 }),
      shuffle: false,
    });
    const [batch] = await take(loader, 1);
    expect(batch!.labels).toHaveLength(5);
    await expect(loader.next()).rejects.toThrow(message);
    await expect(loader.next()).rejects.toThrow(message);
  });

  test.each([
    [{ source: unrulySource({ samples: words, fault: 'open' }) }, 'words.mdb: no such file.'],
    [{ source: { module: 'file:///nowhere/words.js', argument: 0 } }, /nowhere\/words\.js/],
    [
      { source: { module: new URL('../train/data/epoch_order.js', import.meta.url).href, argument: 0 } },
      /epoch_order\.js exports no function openDataSet/,
    ],
    [{ source: memorySource([]) }, 'the data set has no samples.'],
    [{ batchSize: 24 }, /^the data set has 23 samples, less than a batch of 24\./],
    [{ batchSize: 0 }, 'batch size is 0; expected a whole number from 1 on.'],
    [{ threads: 1.5 }, 'number of loading threads is 1.5; expected a whole number from 1 on.'],
    [{ prefetchBatches: 0 }, 'number of batches loaded ahead is 0; expected a whole number from 1 on.'],
    [{ imageSize: [8, NaN] as const }, 'image width is NaN; expected a whole number from 1 on.'],
    [{ seed: -1 }, 'data seed is -1; expected a whole number from 0 on.'],
    [{ epochs: 0 }, 'number of epochs is 0; expected a whole number from 1 on.'],
    [{ start: { epoch: 0, sample: -1 } }, 'sample to start at is -1; expected a whole number from 0 on.'],
  ])('to open: %#', async (options, message) => {
    await expect(open(options)).rejects.toThrow(message);
  });

  test('a larger batch than the data set is taken if the last one is kept', async () => {
    const [batch] = await take(await open({ batchSize: 24, dropLast: false, threads: 3 }), 1);
    expect(new Set(batch!.labels).size).toBe(23);
  });
});

describe('closing', () => {
  test('refuses what is under way and what comes later, and closes the data set of each thread', async () => {
    const counters = new Int32Array(new SharedArrayBuffer(8));
    const loader = await open({
      source: unrulySource({ samples: words, delayMs: 30, counters }),
      threads: 3,
    });
    const waiting = expect(loader.next()).rejects.toThrow('the data loader is closed.');
    await loader.close();
    await waiting;
    await expect(loader.next()).rejects.toThrow('the data loader is closed.');
    expect(Atomics.load(counters, 1)).toBe(3);
    await loader.close();
  });

  const moduleUrl = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const child = (fault: string) => `
    const { Loader } = await import(${moduleUrl('../train/data/loader.js')});
    const { unrulySource } = await import(${moduleUrl('./support/unruly_data_set.js')});
    const image = { width: 2, height: 2, data: new Uint8Array(12) };
    const samples = Array.from({ length: 9 }, (_, index) => ({ image, label: 'a', source: String(index) }));
    const loader = await Loader.open({
      source: unrulySource({ samples, ${fault} }), imageSize: [4, 4], normalization: 'half', augment: true, seed: 1,
      batchSize: 2, shuffle: false, dropLast: true, threads: 2, onCorrupt: () => {},
    });
    const { labels } = await loader.next();
    await loader.close();
    console.log(labels.length);`;

  test.each([
    ['idle threads', ''],
    ['a sample that never comes', 'fault: "hang", faultyIndex: 5'],
  ])('lets the process end: %s', async (_, fault) => {
    const { code, output } = await runChild(child(fault));
    expect({ code, output }).toEqual({ code: 0, output: '2\n' });
  });
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
