/** A run that trains an adapter from plain CLIP, stops, goes on from its checkpoint and is read with. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openDevice } from '../engine/index.js';
import { Clip4Str } from '../model/index.js';
import { presetConfiguration } from '../train/configuration.js';
import { readerConfiguration } from '../train/reader_configuration.js';
import { startingWeights } from '../train/starting_weights.js';
import { train } from '../train/trainer.js';
import { openParameters, writeSafetensors } from '../weights/index.js';
import { fastClipParameters } from './support/fixture_models.js';
import { fixturePath } from './support/fixtures.js';
import { samples, smallRun } from './support/small_run.js';

const root = mkdtempSync(join(tmpdir(), 'clip4str-adapter-run-'));
const clipFile = join(root, 'clip.safetensors');
const folder = join(root, 'run');

const settings = [
  'model.img_size=[32, 32]',
  'model.patch_size=[8, 8]',
  'model.dec_num_heads=4',
  'model.adapter_type=ladder_pruning',
  'model.block_ids=[0, 1]',
  'model.batch_size=4',
  'model.lr=0.01',
  'model.lr_scaling=none',
  'model.perm_num=2',
  'data.num_workers=1',
  'trainer.max_steps=2',
  'trainer.gradient_checkpointing=true',
  'trainer.checkpoint_interval=1',
];
const configurationWith = (...more: string[]) => presetConfiguration('str-adapter', [...settings, ...more]);

beforeAll(async () => {
  const clip = fastClipParameters();
  await writeSafetensors(
    clipFile,
    [...clip.parameters].map(([name, { shape }]) => ({
      name,
      shape,
      dtype: 'f32' as const,
      read: () => clip.readF32(name),
    })),
  );
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

test('trains the adapter and the decoder, goes on without the file of CLIP, and reads', async () => {
  const configuration = configurationWith(`model.clip_pretrained=${clipFile}`);
  const controller = new AbortController();
  const stopped = await train(
    smallRun(folder, { step: () => controller.abort() }, { configuration, signal: controller.signal }),
  );
  expect(stopped).toEqual({ step: 1, reason: 'stopped' });
  const gone = configurationWith(`model.clip_pretrained=${join(root, 'gone')}`);
  expect(await train(smallRun(folder, {}, { configuration: gone }))).toEqual({ step: 2, reason: 'complete' });

  const model = join(folder, 'step-00000002.safetensors');
  const [trained, start] = await Promise.all([
    openParameters(model),
    startingWeights(configuration, await readerConfiguration(configuration)),
  ]);
  for (const name of trained.parameters.keys()) {
    const [before, after] = [await start.readF32(name), await trained.readF32(name)];
    const changed = after.some((value, i) => value !== before[i]);
    expect({ name, changed }).toEqual({ name, changed: !name.startsWith('clip_model.') });
  }
  await Promise.all([trained.close(), start.close()]);

  const device = await openDevice({ device: 'software' });
  try {
    const reader = await Clip4Str.load(device, model);
    expect(reader.model.configuration).toMatchObject({
      family: 'str_adapter',
      adapter: { type: 'ladder_pruning', blocks: [0, 1], attentionWidth: 16 },
      normalization: 'clip',
    });
    const [reading] = await reader.read([samples[0]!.image]);
    expect(typeof reading!.text).toBe('string');
    reader.dispose();
  } finally {
    device.close();
  }
}, 300_000);

test.each([
  ['no CLIP', [], "model.clip_pretrained is null; an adapter stands on CLIP's weights."],
  [
    'a reader for CLIP',
    [`model.clip_pretrained=${fixturePath('models/fast.safetensors')}`],
    'fast.safetensors: is a clip4str model; this run needs plain CLIP',
  ],
  [
    'a reader to train further',
    [`pretrained=${fixturePath('models/fast.safetensors')}`],
    'fast.safetensors: is a clip4str model; this run needs CLIP with an adapter',
  ],
  [
    'images that CLIP has no positions for',
    [`model.clip_pretrained=${clipFile}`, 'model.img_size=[64, 64]'],
    'images of 64x64 in patches of 8x8 do not fill visual.positional_embedding, which is for 16 patches.',
  ],
])('%s', async (_, more, message) => {
  await expect(readerConfiguration(configurationWith(...more))).rejects.toThrow(message);
});
