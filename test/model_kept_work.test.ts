/** Readings that repeat what earlier ones recorded are the same as those that do not. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { OutOfMemoryError, type Tensor, openDevice } from '../engine/index.js';
import { type Clip4StrModel, type Parseq, loadModel } from '../model/index.js';
import type { DecodingOptions, Recognizer } from '../model/recognizer.js';
import { openParameters } from '../weights/index.js';
import { useDevice } from './support/device.js';
import { fixtureOptions, parseqOptions } from './support/fixture_models.js';
import { fixturePath, readTensorFixture } from './support/fixtures.js';
import { imageRows, recognize } from './support/recognize.js';

const device = useDevice({ device: 'software' });

describe.each([
  {
    name: 'CLIP4STR',
    file: 'models/fast.safetensors',
    options: fixtureOptions('fast'),
    images: 'forward/fast_A.safetensors',
  },
  {
    name: 'PARSeq',
    file: 'parseq/parseq_tiny.pt',
    options: parseqOptions,
    images: 'parseq/parseq_refs.safetensors',
  },
])('$name', ({ file, options, images: imageFile }) => {
  const images = readTensorFixture(imageFile).get('images');
  let model: Clip4StrModel | Parseq;
  let parameterBytes: number;
  let before: number;

  beforeAll(async () => {
    before = device().memory.liveBytes;
    const parameters = await openParameters(fixturePath(file));
    model = (await loadModel(device(), parameters, options)) as Clip4StrModel | Parseq;
    await parameters.close();
    parameterBytes = device().memory.liveBytes - before;
  });
  afterAll(() => {
    model.dispose();
    expect(device().memory.liveBytes).toBe(before);
  });

  /** Beside the parameters. */
  const heldBytes = (): number => device().memory.liveBytes - before - parameterBytes;

  /** Texts are short of the end here and there: positions after it differ in number. */
  const read = (
    rows: readonly [number, number],
    decoding: Partial<DecodingOptions>,
    on: Recognizer = model,
  ): ReturnType<typeof recognize> => recognize(device(), on, imageRows(images, ...rows), decoding);

  test('one batch after another, of other sizes, lengths and stopping', async () => {
    const plans: [readonly [number, number], Partial<DecodingOptions>][] = [
      [[0, 2], { refineIterations: 1 }],
      [[1, 3], { refineIterations: 1 }],
      [[0, 2], { stopping: 'independent', endsEarly: true, refineIterations: 2 }],
      [[1, 3], { stopping: 'independent', endsEarly: true, refineIterations: 2 }],
      [[0, 1], { stopping: 'independent' }],
      [[2, 3], { stopping: 'independent' }],
      [[0, 1], { stopping: 'independent', maxLabelLength: 4 }],
      [[0, 1], { stopping: 'independent', autoregressive: false, refineIterations: 1 }],
      [[0, 3], { stopping: 'independent' }],
    ];
    for (const [rows, decoding] of plans) {
      const [fresh, kept] = [await read(rows, decoding), await read(rows, { ...decoding, keepsWork: true })];
      expect(kept.logits).toEqual(fresh.logits);
      expect(kept.visualLogits).toEqual(fresh.visualLogits);
      expect([...kept.stages]).toEqual([...fresh.stages]);
    }
  }, 120_000);

  test('at the same time', async () => {
    const decoding = { stopping: 'independent', endsEarly: true, refineIterations: 1 } as const;
    const rows = [
      [0, 2],
      [1, 3],
      [0, 2],
    ] as const;
    const expected = [];
    for (const some of rows) expected.push((await read(some, decoding)).logits);
    const together = await Promise.all(rows.map((some) => read(some, { ...decoding, keepsWork: true })));
    expect(together.map(({ logits }) => logits)).toEqual(expected);
  }, 120_000);

  test('with weights that changed in place', async () => {
    const decoding = { stopping: 'independent' } as const;
    const earlier = await read([0, 1], { ...decoding, keepsWork: true });
    const changed = [...model.parameters.entries()].filter(([name]) =>
      /(head|conv1|proj)\.weight$/.test(name),
    );
    expect(changed.length).toBeGreaterThan(0);
    for (const [, tensor] of changed) await halve(tensor);
    const [fresh, kept] = [
      await read([0, 1], decoding),
      await read([0, 1], { ...decoding, keepsWork: true }),
    ];
    expect(kept.logits).toEqual(fresh.logits);
    expect(kept.logits).not.toEqual(earlier.logits);
  }, 120_000);

  test('and hold nothing where memory ended', async () => {
    const own = await openDevice({ device: 'software', memoryBudgetBytes: parameterBytes + (3 << 20) });
    try {
      const parameters = await openParameters(fixturePath(file));
      const small = (await loadModel(own, parameters, options)) as Clip4StrModel | Parseq;
      await parameters.close();
      const live = own.memory.liveBytes;
      const decoding = { stopping: 'independent', keepsWork: true } as const;
      const many = {
        ...images,
        shape: [48, ...images.shape.slice(1)],
        data: repeated(images.data as Float32Array, 48 / images.shape[0]!),
      };
      await expect(recognize(own, small, many, decoding)).rejects.toThrow(OutOfMemoryError);
      expect(own.memory.liveBytes).toBe(live);
      const [fresh, kept] = [
        await recognize(own, small, imageRows(images, 0, 1), { stopping: 'independent' }),
        await recognize(own, small, imageRows(images, 0, 1), decoding),
      ];
      expect(kept.logits).toEqual(fresh.logits);
      small.dispose();
      expect(own.memory.liveBytes).toBe(0);
    } finally {
      own.close();
    }
  }, 120_000);

  test('and heal after buffers that the driver refused', async () => {
    const own = await openDevice({ device: 'software' });
    try {
      const parameters = await openParameters(fixturePath(file));
      const other = (await loadModel(own, parameters, options)) as Clip4StrModel | Parseq;
      await parameters.close();
      const decoding = { stopping: 'independent', autoregressive: false, refineIterations: 1 } as const;
      const kept = { ...decoding, keepsWork: true };
      const some = imageRows(images, 0, 1);
      // Nothing that waits for reuse from loading.
      own.trim();
      const createBuffer = own.gpu.createBuffer.bind(own.gpu);
      own.gpu.createBuffer = (descriptor) =>
        createBuffer(
          descriptor.usage & GPUBufferUsage.STORAGE ? { ...descriptor, usage: 0xffff } : descriptor,
        );
      // Nothing waits between the stages, so that all of them are recorded before the refusals are told.
      const unwatched = { ...kept, onStage: async () => {} };
      await expect(recognize(own, other, some, unwatched)).rejects.toThrow();
      own.gpu.createBuffer = createBuffer;
      await own.finish().catch(() => {});
      const { logits } = await recognize(own, other, some, decoding);
      for (let again = 0; again < 2; again++) {
        expect((await recognize(own, other, some, kept)).logits).toEqual(logits);
      }
      other.dispose();
    } finally {
      own.close();
    }
  }, 120_000);

  test('and take little memory between readings', () => {
    expect(heldBytes()).toBeGreaterThan(0);
    expect(heldBytes()).toBeLessThan(8 << 20);
  });

  test('and none once it is forgotten, until the next', async () => {
    const decoding = { stopping: 'independent' } as const;
    const before = await read([0, 2], { ...decoding, keepsWork: true });
    model.forgetKeptWork();
    expect(heldBytes()).toBe(0);
    expect((await read([0, 2], { ...decoding, keepsWork: true })).logits).toEqual(before.logits);
    expect(heldBytes()).toBeGreaterThan(0);
  }, 120_000);
});

async function halve(tensor: Tensor): Promise<void> {
  const values = (await tensor.read()) as Float32Array<ArrayBuffer>;
  device().write(
    tensor,
    values.map((value) => value / 2),
  );
}

function repeated(data: ArrayLike<number>, times: number): Float32Array {
  const all = new Float32Array(Math.ceil(data.length * times));
  for (let i = 0; i < all.length; i++) all[i] = data[i % data.length]!;
  return all;
}
