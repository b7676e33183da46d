/** What a reading costs the GPU's queue, and that it leaves nothing behind. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { CommandCounts } from '../engine/index.js';
import type { NormalizedImage } from '../model/image_input.js';
import type { ReadOptions } from '../model/read_options.js';
import { Clip4Str } from '../model/reader.js';
import { useDevice } from './support/device.js';
import { useSummary } from './support/error_report.js';
import { fixtureOptions, parseqOptions } from './support/fixture_models.js';
import { fixturePath, readTensorFixture } from './support/fixtures.js';
import { imageRows } from './support/recognize.js';

const device = useDevice();
const lines = useSummary('what readings cost');

function imagesOf(file: string): NormalizedImage[] {
  const images = readTensorFixture(file).get('images');
  return Array.from({ length: images.shape[0]! }, (_, row) => ({
    normalized: imageRows(images, row, row + 1).data as Float32Array,
  }));
}

/** Counts of a second and a third reading of the same images, which must agree: the first records what they repeat. */
async function counted(
  reader: Clip4Str,
  images: readonly NormalizedImage[],
  options: ReadOptions,
): Promise<CommandCounts> {
  const counts: CommandCounts[] = [];
  for (let reading = 0; reading < 3; reading++) {
    device().resetStatistics();
    await reader.read(images, options);
    counts.push(device().counts);
  }
  expect(counts[2]).toEqual(counts[1]);
  const { dispatches, submits, readBacks, peeks, uploads } = counts[1]!;
  lines.push(
    `${reader.checkpointName} ${JSON.stringify(options)}: ${dispatches} dispatches, ${submits} submits, ` +
      `${readBacks} read-backs, ${peeks} peeks, ${uploads} uploads`,
  );
  return counts[1]!;
}

describe.each([
  {
    model: 'CLIP4STR',
    file: 'models/fast.safetensors',
    options: fixtureOptions('fast'),
    images: 'forward/fast_A.safetensors',
    branches: 2,
    // Between the branches, and at the end.
    readBacks: 2,
    // These weights read nonsense, which no draft foretells: it is read step by step after six passes.
    readBacksOfDrafts: 6,
    readBacksPerRefinement: 1,
    readBacksOfStopping: 0,
  },
  {
    model: 'PARSeq',
    file: 'parseq/parseq_tiny.pt',
    options: parseqOptions,
    images: 'parseq/parseq_refs.safetensors',
    branches: 1,
    readBacks: 1,
    readBacksOfDrafts: 0,
    readBacksPerRefinement: 0,
    // How many steps the batch takes is known on the host alone.
    readBacksOfStopping: 1,
  },
])('$model', ({ file, options, images: imageFile, branches, ...expected }) => {
  const images = imagesOf(imageFile);
  let reader: Clip4Str;
  beforeAll(async () => {
    reader = await Clip4Str.load(device(), fixturePath(file), options);
  });
  afterAll(() => reader.dispose());

  test.each([0, 1, 2])('%i refinements: few read-backs, the same counts again', async (refineIterations) => {
    const { readBacks, peeks, submits, uploads, dispatches } = await counted(reader, images, {
      refineIterations,
    });
    expect(readBacks).toBe(
      expected.readBacks + expected.readBacksOfDrafts + refineIterations * expected.readBacksPerRefinement,
    );
    // One for each of 26 positions but the last, which are not waited for before the next is recorded.
    expect(peeks).toBeLessThanOrEqual(25 * branches);
    expect(submits).toBeLessThanOrEqual(readBacks + peeks + uploads + Math.floor(dispatches / 64));
  });

  test('stopping as the original', async () => {
    const { readBacks } = await counted(reader, images, { refineIterations: 1, originalStopping: true });
    expect(readBacks).toBe(
      expected.readBacks +
        expected.readBacksOfDrafts +
        expected.readBacksPerRefinement +
        expected.readBacksOfStopping,
    );
  });

  test('a further position costs at most 15 dispatches a branch', async () => {
    const [shorter, longer] = [
      await counted(reader, images, { logits: true, maxLabelLength: 10 }),
      await counted(reader, images, { logits: true, maxLabelLength: 11 }),
    ];
    expect(longer.dispatches - shorter.dispatches).toBeLessThanOrEqual(15 * branches);
    expect(longer.readBacks).toBe(shorter.readBacks);
  });

  test('more images in a batch cost no more dispatches, but a copy of what they all ask', async () => {
    // Their texts end at different places; with logits every position is computed.
    const [one, all] = [
      await counted(reader, images.slice(0, 1), { logits: true }),
      await counted(reader, images, { logits: true }),
    ];
    // In the one refinement of each branch.
    expect(all.dispatches).toBeLessThanOrEqual(one.dispatches + branches);
    expect(all.readBacks).toBe(one.readBacks);
  });
});

test('201 readings with the shipped checkpoint leave memory flat', async () => {
  const reader = await Clip4Str.load(device());
  const [height, width] = reader.imageSize;
  const image = (seed: number): NormalizedImage => ({
    normalized: Float32Array.from({ length: 3 * height * width }, (_, at) => Math.sin(seed + 0.01 * at)),
  });
  const images = [image(1), image(2), image(3)];
  const readSome = async (count: number): Promise<void> => {
    for (let reading = 0; reading < count; reading++) {
      await reader.read(images.slice(0, 1 + (reading % 3)), { maxLabelLength: 4 });
    }
  };
  const before = device().memory;
  // What is kept for the next reading of as many images is that of three.
  await readSome(21);
  const warm = device().memory;
  await readSome(180);
  const { liveBytes, pooledBytes, buffers } = device().memory;
  lines.push(
    `after 21 and after 201 readings: ${liveBytes} bytes live, ${pooledBytes} pooled, ${buffers} buffers`,
  );
  expect({ liveBytes, pooledBytes, buffers }).toEqual({
    liveBytes: warm.liveBytes,
    pooledBytes: warm.pooledBytes,
    buffers: warm.buffers,
  });
  const parameterBytes = reader.model.parameters.bytes;
  reader.dispose();
  expect(device().memory.liveBytes).toBeLessThanOrEqual(before.liveBytes - parameterBytes);
}, 600_000);
