/** Whole runs of a very small model: what they leave behind, and that they go on as if they had never stopped. */
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Device, openDevice as openNewDevice } from '../engine/index.js';
import { Clip4Str } from '../model/index.js';
import type { CheckpointEvent, StepEvent, TrainingObserver, ValidationEvent } from '../train/events.js';
import { memorySource } from '../train/data/memory_data_set.js';
import { type TrainingOptions, train } from '../train/trainer.js';
import { openParameters, writeSafetensors } from '../weights/index.js';
import { useTrainingDevice } from './support/device.js';
import { lastFiles, samples, smallRun } from './support/small_run.js';

const root = mkdtempSync(join(tmpdir(), 'clip4str-run-'));
const reference = join(root, 'reference');
const openDevice = useTrainingDevice();

/** A run on the device that the tests share, unless they open others. */
const sharedRun = (
  folder: string,
  observer: TrainingObserver,
  options: Parameters<typeof smallRun>[2] = {},
): TrainingOptions => smallRun(folder, observer, { openDevice, ...options });

class Watcher implements TrainingObserver {
  readonly steps: StepEvent[] = [];
  readonly validations: ValidationEvent[] = [];
  readonly checkpoints: CheckpointEvent[] = [];
  readonly notices: string[] = [];
  readonly ends: string[] = [];

  step(event: StepEvent): void {
    this.steps.push(event);
  }
  validation(event: ValidationEvent): void {
    this.validations.push(event);
  }
  checkpoint(event: CheckpointEvent): void {
    this.checkpoints.push(event);
  }
  notice(message: string): void {
    this.notices.push(message);
  }
  end({ reason, message }: { reason: string; message?: string }): void {
    this.ends.push(message === undefined ? reason : `${reason}: ${message}`);
  }
}

const watcher = new Watcher();

beforeAll(async () => {
  await train(sharedRun(reference, watcher));
}, 300_000);
afterAll(() => rmSync(root, { recursive: true, force: true }));

function expectSame(folder: string): void {
  const expected = lastFiles(reference);
  lastFiles(folder).forEach((file, i) => {
    expect(readFileSync(file).equals(readFileSync(expected[i]!))).toBe(true);
  });
}

test('a run tells of its steps, validations and checkpoints', () => {
  expect(watcher.steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(watcher.steps.map(({ epoch }) => epoch)).toEqual([0, 0, 0, 1, 1, 1]);
  expect(watcher.steps.map(({ imagesOfStep }) => imagesOfStep)).toEqual([8, 8, 6, 8, 8, 6]);
  expect(watcher.steps.map(({ images }) => images)).toEqual([8, 16, 22, 30, 38, 44]);
  expect(watcher.steps.map(({ crossLoss }) => crossLoss !== undefined)).toEqual([
    false,
    false,
    false,
    true,
    true,
    true,
  ]);
  for (const { loss, gradientNorm, flops, stepMs, waitMs, skipped } of watcher.steps) {
    expect(loss).toBeGreaterThan(0);
    expect(gradientNorm).toBeGreaterThan(0);
    expect(flops).toBeGreaterThan(1e6);
    expect(stepMs).toBeGreaterThan(waitMs);
    expect(skipped).toBe(false);
  }
  expect(watcher.validations.map(({ step }) => step)).toEqual([3, 6]);
  expect(watcher.validations[0]!.combined.samples).toBe(6);
  expect(watcher.validations[0]!.samples.map(({ source }) => source)).toEqual(
    samples.slice(0, 6).map(({ source }) => source),
  );
  const last = watcher.checkpoints.filter(({ kind }) => kind === 'last');
  expect(last.map(({ step }) => step)).toEqual([2, 4, 6]);
  // Up to step 3 only one of the branches that it reads with has learnt.
  const best = watcher.checkpoints.filter(({ kind }) => kind === 'best');
  expect(best.map(({ step }) => step)).toEqual([6]);
  expect(watcher.notices.join()).toMatch(/until step 3 the visual branch trains alone/);
  expect(watcher.ends).toEqual(['complete']);
});

test('device memory stays the same from step to step', () => {
  const live = watcher.steps.map(({ liveBytes }) => liveBytes);
  // Once both branches train there is the average of the weights.
  expect(new Set(live.slice(0, 3)).size).toBe(1);
  expect(new Set(live.slice(3)).size).toBe(1);
});

test('the last K checkpoints stay, and each is a model that reads', async () => {
  expect(readdirSync(reference).filter((name) => name.endsWith('.state.safetensors'))).toHaveLength(3);
  for (const name of ['step-00000006', 'best', 'averaged']) {
    const reader = await Clip4Str.load(await openDevice(), join(reference, `${name}.safetensors`));
    const [reading] = await reader.read([samples[0]!.image]);
    expect(typeof reading!.text).toBe('string');
    expect(reader.model.configuration.normalization).toBe('half');
    reader.dispose();
  }
}, 120_000);

test('a lost device is replaced, and the run ends with the same bits', async () => {
  const folder = join(root, 'lost');
  const devices: Device[] = [];
  const seen = new Watcher();
  const breaking: TrainingObserver = {
    step: ({ step }) => {
      if (step === 3 && devices.length === 1) devices[0]!.gpu.destroy();
    },
  };
  await train(
    sharedRun(folder, seen, {
      observers: [seen, breaking],
      openDevice: async () => {
        devices.push(await openNewDevice({ device: 'software' }));
        return devices.at(-1)!;
      },
    }),
  );
  expect(devices).toHaveLength(2);
  expect(seen.notices.some((notice) => notice.includes('Going on from step 2'))).toBe(true);
  expectSame(folder);
}, 300_000);

test('a longer plan averages its own last steps, and averaging can be switched off', async () => {
  const folder = join(root, 'longer');
  const averagedBy = async (...settings: string[]): Promise<string | undefined> => {
    const seen = new Watcher();
    await train(sharedRun(folder, seen, { settings }));
    return seen.notices.find((notice) => notice.includes('is the average'));
  };
  expect(await averagedBy('trainer.max_steps=4')).toMatch(/after 2 steps, from 3 on/);
  expect(await averagedBy('trainer.max_steps=8')).toMatch(/after 4 steps, from 5 on/);
  // An end that is behind has its average all the same.
  rmSync(join(folder, 'averaged.safetensors'));
  expect(await averagedBy('trainer.max_steps=7')).toMatch(/after 4 steps, from 5 on/);
  expect(existsSync(join(folder, 'averaged.safetensors'))).toBe(true);
  rmSync(join(folder, 'averaged.safetensors'));
  expect(await averagedBy('trainer.max_steps=8', 'swa=false')).toBeUndefined();
  expect(existsSync(join(folder, 'averaged.safetensors'))).toBe(false);
}, 300_000);

test('a run that is asked to stop saves where it is', async () => {
  const folder = join(root, 'stopped');
  const controller = new AbortController();
  const end = await train(
    sharedRun(folder, { step: () => controller.abort() }, { signal: controller.signal }),
  );
  expect(end).toEqual({ step: 1, reason: 'stopped' });
  expect(existsSync(join(folder, 'step-00000001.state.safetensors'))).toBe(true);
}, 300_000);

/** The reference run's model with other values of some parameters. @returns its path */
async function changedModel(
  file: string,
  change: (parameter: string, values: Float32Array) => Float32Array,
): Promise<string> {
  const source = await openParameters(join(reference, 'step-00000006.safetensors'));
  const path = join(root, file);
  await writeSafetensors(
    path,
    [...source.parameters].map(([name, { shape }]) => ({
      name,
      shape,
      dtype: 'f32' as const,
      read: async () => change(name, await source.readF32(name)),
    })),
  );
  await source.close();
  return path;
}

test.each<[string, RegExp, Parameters<typeof changedModel>[1]]>([
  [
    'loss',
    /^step 1: the loss is NaN; no weight was changed by it\..* words\/\d+\.png "/,
    (name, values) => (name === 'visual_decoder.head.bias' ? values.fill(NaN) : values),
  ],
  [
    // Large features and small weights make ordinary logits; the squares of the weights' gradients exceed f32.
    'gradient',
    /^step 1: the gradient is not finite; no weight was changed by it\..* words\/\d+\.png "/,
    (name, values) => {
      if (name === 'visual_decoder.norm.weight') return values.map((value) => 1e30 * value);
      if (name === 'visual_decoder.norm.bias') return values.fill(0);
      return name === 'visual_decoder.head.weight' ? values.map((value) => 1e-30 * value) : values;
    },
  ],
])(
  'a %s that is no number ends the run, with the data named',
  async (what, message, change) => {
    const pretrained = await changedModel(`broken-${what}.safetensors`, change);
    const seen = new Watcher();
    const folder = join(root, `no-${what}`);
    await expect(train(sharedRun(folder, seen, { settings: [`pretrained=${pretrained}`] }))).rejects.toThrow(
      message,
    );
    expect(seen.ends[0]).toMatch(/^failed: step 1: the .* All of it is listed in .*samples\.txt\.$/);
    const listed = readFileSync(join(folder, 'step-1.samples.txt'), 'utf8').trimEnd().split('\n');
    expect(listed).toHaveLength(8);
    expect(listed[0]).toMatch(/^words\/\d+\.png "/);
  },
  300_000,
);

test('a run goes on without validation where none of its images can be read', async () => {
  const folder = join(root, 'unreadable');
  const told: string[] = [];
  const observer: TrainingObserver = {
    step: ({ step }) => void told.push(`step ${step}`),
    notice: (message) => void told.push(message),
    validation: ({ step }) => void told.push(`validation ${step}`),
    checkpoint: ({ kind }) => void told.push(kind),
  };
  const broken = samples.slice(0, 3).map((sample) => ({ ...sample, image: new Uint8Array(9) }));
  const validation = [{ name: 'words', source: memorySource(broken) }];
  const settings = ['trainer.max_steps=2', 'trainer.val_check_interval=1', 'swa=false'];
  const end = await train(sharedRun(folder, observer, { settings, validation }));
  expect(end).toEqual({ step: 2, reason: 'complete' });
  expect(told).toEqual([
    expect.stringMatching(/^validation set words: 3 samples in a row cannot be used/),
    expect.stringMatching(/^no validation set is left/),
    'step 1',
    'step 2',
    'last',
  ]);
  expect(existsSync(join(folder, 'best.safetensors'))).toBe(false);
}, 120_000);

test('a batch that runs out of memory on a device that tells of none is foreseen too', async () => {
  const openUntold = async (): Promise<Device> => {
    const device = await openNewDevice({ device: 'software', memoryBudgetBytes: 80 << 20 });
    return Object.defineProperty(device, 'memoryBudgetBytes', { value: Infinity });
  };
  const settings = ['model.batch_size=1024', 'trainer.accumulate_grad_batches=1'];
  const message = await train(sharedRun(join(root, 'untold'), {}, { settings, openDevice: openUntold })).then(
    () => 'trained',
    (error: Error) => error.message,
  );
  expect(message).toMatch(
    /model\.batch_size=1024 .* ran out of memory with it\. Set model\.batch_size=\d+ trainer/,
  );
  expect(message).not.toContain('Infinity');
}, 300_000);

test('a batch that does not fit is foreseen, with one that does', async () => {
  const openSmall = (): Promise<Device> => openNewDevice({ device: 'software', memoryBudgetBytes: 80 << 20 });
  await expect(
    train(
      sharedRun(
        join(root, 'large'),
        {},
        { settings: ['model.batch_size=4096', 'trainer.accumulate_grad_batches=1'], openDevice: openSmall },
      ),
    ),
  ).rejects.toThrow(
    /model\.batch_size=4096 needs about .* Set model\.batch_size=\d+ trainer\.accumulate_grad_batches=/,
  );
}, 300_000);
