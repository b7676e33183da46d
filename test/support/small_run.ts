/** A run of a very small model on a few generated words; in a process of its own it can be killed. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RandomGenerator, openDevice } from '../../engine/index.js';
import { presetConfiguration } from '../../train/configuration.js';
import type { Sample } from '../../train/data/data_source.js';
import { memorySource } from '../../train/data/memory_data_set.js';
import type { TrainingObserver } from '../../train/events.js';
import type { TrainingConfiguration } from '../../train/configuration_schema.js';
import { type TrainingOptions, train } from '../../train/trainer.js';
import { pngColour, pngFile } from './image_files.js';

const words = ['a', 'it', 'the', 'word', 'seven', 'Street'];

/** 22 samples: batches of 4 leave a smaller one at the end of an epoch. */
export const samples: readonly Sample[] = Array.from({ length: 22 }, (_, index) => {
  const [width, height] = [20 + index, 12];
  const random = new RandomGenerator(index);
  const pixels = Uint8Array.from({ length: width * height * 3 }, () => random.integer(256));
  return {
    image: pngFile({ width, height, bitDepth: 8, colourType: pngColour.rgb, samples: pixels }),
    label: words[index % words.length]!,
    source: `words/${index}.png`,
  };
});

/** Every part of the recipe that has a state of its own is on. */
export const smallSettings = [
  'model.img_size=[16, 32]',
  'model.embed_dim=64',
  'model.enc_width=64',
  'model.enc_depth=1',
  'model.text_width=64',
  'model.text_depth=2',
  'model.dec_num_heads=2',
  'model.dropout=0.1',
  'model.batch_size=4',
  'model.perm_num=4',
  'model.visual_first_pct=0.5',
  'data.num_workers=1',
  'trainer.max_steps=6',
  'trainer.accumulate_grad_batches=2',
  'trainer.gradient_clip_val=0.5',
  'trainer.precision=32',
  'trainer.val_check_interval=3',
  'trainer.checkpoint_interval=2',
  'swa=true',
  'swa_epoch_start=0.3',
];

export function smallConfiguration(settings: readonly string[] = []): TrainingConfiguration {
  return presetConfiguration('tiny', [...smallSettings, ...settings]);
}

export function smallRun(
  folder: string,
  observer: TrainingObserver,
  { settings = [], ...options }: Partial<TrainingOptions> & { readonly settings?: readonly string[] } = {},
): TrainingOptions {
  return {
    configuration: smallConfiguration(settings),
    folder,
    source: memorySource(samples),
    validation: [{ name: 'words', source: memorySource(samples.slice(0, 6)) }],
    observers: [observer],
    openDevice: () => openDevice({ device: 'software', hideDriverWarnings: true }),
    ...options,
  };
}

/** The last step's files. */
export const lastFiles = (folder: string): string[] =>
  ['step-00000006.safetensors', 'step-00000006.state.safetensors', 'averaged.safetensors'].map((name) =>
    join(folder, name),
  );

/** What a run can be killed after. */
export type KillingEvent = 'step' | 'validation' | 'checkpoint';

/** Runs in a process of its own that kills itself once it tells of an event of a step; a checkpoint may be the best one. */
export function runKilled(
  folder: string,
  step: number,
  event: KillingEvent,
  settings: readonly string[] = [],
): Promise<string | null> {
  const script = fileURLToPath(import.meta.url);
  const child = spawn(process.execPath, [script, folder, String(step), event, ...settings], {
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: 240_000,
  });
  return new Promise((resolve) => child.on('close', (_, signal) => resolve(signal)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, step, event, ...settings] = process.argv.slice(2) as [
    string,
    string,
    KillingEvent,
    ...string[],
  ];
  const observer: TrainingObserver = {
    [event]: (told: { readonly step: number }) => {
      if (told.step === Number(step)) process.kill(process.pid, 'SIGKILL');
    },
  };
  await train(smallRun(folder, observer, { settings }));
}
