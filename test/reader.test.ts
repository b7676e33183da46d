/** What `Clip4Str` takes and refuses, and what it gives back beside the text. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { type Device, openDevice } from '../engine/index.js';
import { Clip4Str } from '../model/reader.js';
import type { ReadOptions } from '../model/read_options.js';
import type { LoadOptions } from '../model/load_model.js';
import { ImageError } from '../model/image_error.js';
import type { ImageInput, NormalizedImage } from '../model/image_input.js';
import { samplePath } from './support/command.js';
import { useDevice } from './support/device.js';
import { fixtureOptions, fixtureParameters, parseqOptions } from './support/fixture_models.js';
import { fixturePath } from './support/fixtures.js';
import { messageOf } from './support/weights_files.js';

const device = useDevice();
const checkpoint = fixturePath('parseq/parseq_tiny.pt');
const image: NormalizedImage = {
  normalized: Float32Array.from({ length: 3 * 32 * 128 }, (_, at) => Math.sin(0.01 * at)),
};

test('a checkpoint given as bytes reads as one given by path', async () => {
  const texts = [];
  for (const source of [checkpoint, readFileSync(checkpoint)]) {
    const reader = await Clip4Str.load(device(), source, parseqOptions);
    texts.push((await reader.read([image]))[0]!.text);
    reader.dispose();
  }
  expect(texts[1]).toBe(texts[0]);
});

test('what is kept between readings goes after a batch under way, and its memory with a trim', async () => {
  const reader = await Clip4Str.load(device(), checkpoint, parseqOptions);
  const { model } = reader;
  const { liveBytes } = device().memory;
  const [first] = await reader.read([image]);
  expect(device().memory.liveBytes).toBeGreaterThan(liveBytes);
  let forgetting: Promise<void> | undefined;
  const recognize = model.recognize.bind(model);
  model.recognize = (...given) => {
    const recognition = recognize(...given);
    forgetting = reader.forgetKeptWork();
    return recognition;
  };
  const [second] = await reader.read([image]);
  expect(second!.text).toBe(first!.text);
  await forgetting;
  expect(device().memory.liveBytes).toBe(liveBytes);
  device().trim();
  expect(device().memory.pooledBytes).toBe(0);
  reader.dispose();
});

const matching = (message: string | RegExp): unknown =>
  typeof message === 'string' ? message : expect.stringMatching(message);

describe('refused in one line', () => {
  test.each<[string, LoadOptions, string | RegExp]>([
    ['a precision', { precision: 'f8' as 'f16' }, 'precision "f8": expected f32 or f16 or int8.'],
    ['a normalisation', { normalization: 'mean' as 'half' }, 'normalization "mean": expected half or clip.'],
    [
      'refinements without end',
      { refineIterations: 33 },
      'refineIterations 33: expected a whole number from 0 to 32.',
    ],
    [
      'heads that are no number',
      { encoderHeads: '4' as never },
      'encoderHeads "4": expected a whole number from 1 on.',
    ],
    ['a charset that is no text', { charset: 36 as never }, /^charset 36: expected text/],
    [
      'an image size of one number',
      { imageSize: [32] as never },
      /^imageSize has 1 numbers; expected \[height, width\]/,
    ],
    [
      'a flag that is none',
      { decodeAutoregressive: 0 as never },
      'decodeAutoregressive 0: expected true or false.',
    ],
    [
      'what another model has',
      { useShareDim: true },
      'parseq_tiny.pt: is a parseq model, of which useShareDim settles nothing; leave it out.',
    ],
  ])('%s when loading', async (_what, options, message) => {
    const all = { ...parseqOptions, ...options };
    expect(await messageOf(() => Clip4Str.load(device(), checkpoint, all))).toEqual(matching(message));
  });

  test('what is neither path nor bytes', async () => {
    const source = Float32Array.of(1) as unknown as Uint8Array;
    expect(await messageOf(() => Clip4Str.load(device(), source))).toBe(
      'checkpoint: is Float32Array; give a path, a Uint8Array or a ByteSource',
    );
    expect(await messageOf(() => Clip4Str.load(device(), null as never))).toBe(
      'checkpoint: is Null; give a path, a Uint8Array or a ByteSource',
    );
  });

  test('a device that is none, and options that are none', async () => {
    expect(await messageOf(() => Clip4Str.load(Promise.resolve(device()) as never, checkpoint))).toBe(
      'device is Promise; give what `await openDevice()` returns.',
    );
    expect(await messageOf(() => Clip4Str.load(device(), checkpoint, null as never))).toBe(
      "options are null; give an object, as { precision: 'f16' }.",
    );
  });

  test.each<[string, ReadOptions, string | RegExp]>([
    ['a normalisation', { normalization: 'mean' as 'half' }, 'normalization "mean": expected half or clip.'],
    [
      'refinements without end',
      { refineIterations: 1e12 },
      'refineIterations 1000000000000: expected a whole number from 0 to 32.',
    ],
    [
      'more positions than there are',
      { maxLabelLength: 1e9 },
      'maxLabelLength 1000000000: expected a whole number from 1 to 25.',
    ],
    ['a charset that is no text', { charset: 36 as never }, /^charset 36: expected text: "36"/],
    [
      'a flag that is none',
      { autoregressive: 'no' as never },
      'autoregressive "no": expected true or false.',
    ],
    [
      'a refiner that is none',
      { clipRefiner: {} as never },
      'clipRefiner is Object; give what ClipRefiner.load returns.',
    ],
    ['a listener that is none', { onProgress: 1 as never }, 'onProgress 1: expected a function.'],
    ['no options', null as never, 'options are null; give an object, as { batchSize: 8 }.'],
  ])('%s when reading', async (_what, options, message) => {
    const reader = await Clip4Str.load(device(), checkpoint, parseqOptions);
    expect(await messageOf(() => reader.read([image], options))).toEqual(matching(message));
    reader.dispose();
  });

  test.each<[unknown, string]>([
    [Uint8Array.of(1, 2, 3), 'Uint8Array'],
    [image, 'Object'],
    ['word.png', 'String'],
    [undefined, 'Undefined'],
  ])('one image or none instead of an array of them', async (images, kind) => {
    const reader = await Clip4Str.load(device(), checkpoint, parseqOptions);
    expect(await messageOf(() => reader.read(images as ImageInput[]))).toBe(
      `images are ${kind}; give an array, as read([bytes]), of a single one too.`,
    );
    reader.dispose();
  });
});

test('weights that are no numbers: the message names checkpoint and image', async () => {
  const reader = await Clip4Str.load(device(), checkpoint, parseqOptions);
  const head = reader.model.parameters.get('head.bias');
  device().write(head, new Float32Array(head.size).fill(NaN));
  expect(await messageOf(() => reader.read([image, image]))).toBe(
    'image 1: the logit of position 0, class 0 is NaN, by parseq_tiny.pt. ' +
      'The weights may be damaged: download or convert them again.',
  );
  reader.dispose();
});

describe('images that give no reading among others that do', () => {
  const overflowing = { normalized: image.normalized.map((value) => value * 1e38) };
  const images = [image, overflowing, Uint8Array.of(1, 2, 3), image];

  test.each([1, 2, 3, 4])('leave the others as they are, in batches of %i', async (batchSize) => {
    const reader = await Clip4Str.load(device(), checkpoint, parseqOptions);
    const [alone] = await reader.read([image]);
    const outcomes = await reader.readEach(images, { batchSize });
    reader.dispose();
    expect(outcomes).toMatchObject([
      { text: alone!.text },
      {
        index: 1,
        reason:
          'the logit of position 0, class 0 is NaN, by parseq_tiny.pt. ' +
          "The image's values reach 1e+38; normalised ones lie within about 3.",
      },
      { index: 2, message: 'image 3: not an image: expected JPEG, PNG, WebP, GIF, TIFF or AVIF.' },
      { text: alone!.text },
    ]);
  });

  test('end a reading that is to be whole, with the number of the first', async () => {
    const reader = await Clip4Str.load(device(), checkpoint, parseqOptions);
    await expect(reader.read([image, overflowing])).rejects.toThrow(ImageError);
    // Bytes that are no image are found before anything is computed.
    await expect(reader.read(images)).rejects.toMatchObject({ index: 2 });
    // eslint-disable-next-line no-sparse-arrays -- as callers without types may give
    await expect(reader.read([image, , image] as ImageInput[])).rejects.toMatchObject({ index: 1 });
    reader.dispose();
  });
});

test('attention has the rows of the positions that were computed, each adding up to 1', async () => {
  const reader = await Clip4Str.load(device(), checkpoint, parseqOptions);
  // The end token everywhere, so that the original stops after one step.
  const head = reader.model.parameters.get('head.bias');
  device().write(
    head,
    Float32Array.from({ length: head.size }, (_, id) => (id === 0 ? 1000 : 0)),
  );
  const options = { originalStopping: true, refineIterations: 0, attention: true, logits: true };
  const [reading] = await reader.read([image], options);
  // With a longest text the original has no early stop.
  const [whole] = await reader.read([image], { ...options, maxLabelLength: 7 });
  expect(whole!.logits!.positions).toBe(8);
  reader.dispose();
  const { values, positions, columns } = reading!.attention!;
  expect(reading!.text).toBe('');
  expect([positions, reading!.logits!.positions]).toEqual([1, 1]);
  const row = values.slice(0, columns);
  expect(row.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 4);
});

test('attention of a model that sees no patches is refused before anything is computed', async () => {
  const source = await fixtureParameters('fast_variant_cls_eot');
  const reader = await Clip4Str.load(device(), source, fixtureOptions('fast_variant_cls_eot'));
  await expect(reader.read([], { attention: true })).rejects.toThrow(
    /attention: this model sees one feature/,
  );
  reader.dispose();
});

/** Lets WebGPU refuse the programs of a kernel from now on. */
function refuseKernel(own: Device, kernel: string): void {
  const { gpu } = own;
  const [create, createAsync] = [
    gpu.createComputePipeline.bind(gpu),
    gpu.createComputePipelineAsync.bind(gpu),
  ];
  const refused = (descriptor: GPUComputePipelineDescriptor): GPUComputePipelineDescriptor =>
    descriptor.label === kernel
      ? { ...descriptor, compute: { ...descriptor.compute, entryPoint: 'missing' } }
      : descriptor;
  gpu.createComputePipeline = (descriptor) => create(refused(descriptor));
  gpu.createComputePipelineAsync = (descriptor) => createAsync(refused(descriptor));
}

// Loading compiles them in vain, and says nothing of it. The first is used for the first time by the refinement, while what
// was peeked at last is still under way; the second before any step.
test.each([
  ['end_padding', { refineIterations: 1 }],
  ['end_padding', { refineIterations: 1, maxLabelLength: 4 }],
  ['layernorm', { refineIterations: 0, maxLabelLength: 4 }],
  ['argmax', { refineIterations: 0, maxLabelLength: 2 }],
])(
  'a refused kernel (%s) ends a reading with its name, however early its texts end',
  async (kernel, options) => {
    const own = await openDevice({ device: 'software' });
    try {
      refuseKernel(own, kernel);
      const reader = await Clip4Str.load(own);
      await expect(reader.read([readFileSync(samplePath('market.png'))], options)).rejects.toThrow(
        new RegExp(`kernel ${kernel} `),
      );
    } finally {
      own.close();
    }
  },
);
