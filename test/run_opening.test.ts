/** How runs begin: with all that their steps take compiled, or without a trace. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { type Device, openDevice as openNewDevice } from '../engine/index.js';
import { memorySource } from '../train/data/memory_data_set.js';
import type { TrainingObserver } from '../train/events.js';
import { RunFolder } from '../train/run_folder.js';
import { train } from '../train/trainer.js';
import { useTrainingDevice } from './support/device.js';
import { samples, smallRun } from './support/small_run.js';
import { unrulySource } from './support/unruly_data_set.js';

const root = mkdtempSync(join(tmpdir(), 'clip4str-opening-'));
const openDevice = useTrainingDevice();
afterAll(() => rmSync(root, { recursive: true, force: true }));

test.each<[string, number, string[]]>([
  ['of the visual branch alone, then of both', 2, ['model.visual_first_perm_num=2', 'swa=false']],
  ['of both branches, and averages', 0, ['model.visual_first_pct=0']],
])(
  'what steps take is compiled before the first: %s',
  async (_, visualSteps, phases) => {
    // Of the longest labels and in whole batches: other shapes may take other kernels.
    const source = memorySource(samples.slice(0, 16).map((sample) => ({ ...sample, label: 'Street' })));
    const settings = ['model.max_label_length=6', 'model.dropout=0', 'trainer.max_steps=4', ...phases];
    const device = await openNewDevice({ device: 'software', hideDriverWarnings: true });
    const programs: number[] = [];
    const crossLosses: (number | undefined)[] = [];
    const counting: TrainingObserver = {
      start: () => void programs.push(device.programCount),
      step: ({ crossLoss }) => {
        programs.push(device.programCount);
        crossLosses.push(crossLoss);
      },
    };
    const openOwn = (): Promise<Device> => Promise.resolve(device);
    const options = { source, validation: [], settings, openDevice: openOwn };
    await train(smallRun(join(root, `compiled-${visualSteps}`), counting, options));
    expect(crossLosses.filter((loss) => loss === undefined)).toHaveLength(visualSteps);
    expect(programs).toEqual(Array.from({ length: 5 }, () => programs[0]));
  },
  120_000,
);

test.each(['while it is compiled', 'in the first step'])(
  'what does not fit %s, though it was foreseen to, is told with a batch that does',
  async (when) => {
    const device = await openNewDevice({ device: 'software', memoryBudgetBytes: 80 << 20 });
    const fillUp = (): void => {
      device.trim();
      const rest = device.memoryBudgetBytes - device.memory.liveBytes - (4 << 20);
      device.keep(device.empty('f32', [rest / 4]));
    };
    const compile = device.compile.bind(device);
    if (when === 'while it is compiled') {
      device.compile = (work) => {
        if (device.memory.liveBytes < 70 << 20) fillUp();
        return compile(work);
      };
    }
    const filling: TrainingObserver = when === 'in the first step' ? { start: fillUp } : {};
    const openOwn = (): Promise<Device> => Promise.resolve(device);
    const settings = ['model.batch_size=22', 'trainer.accumulate_grad_batches=1'];
    const options = { validation: [], settings, openDevice: openOwn };
    const error = await train(smallRun(join(root, when), filling, options)).then(
      () => undefined,
      (fault: Error) => fault,
    );
    expect(error?.message).toMatch(
      /^a step with model\.batch_size=22 needs more than the .* GB that were foreseen; .* has 0\.08 GB for tensors\. Set model\.batch_size=11 trainer\.accumulate_grad_batches=2 for the same 22 images/,
    );
    expect((error?.cause as Error).message).toMatch(/the memory budget is 83\.9 MB/);
  },
  120_000,
);

const missing = unrulySource({ samples, fault: 'open' });

test.each<[string, RegExp, Parameters<typeof smallRun>[2]]>([
  ['data cannot be opened', /^words\.mdb: no such file/, { source: missing }],
  [
    'data to validate on cannot be opened',
    /^validation set words: words\.mdb: no such file/,
    { validation: [{ name: 'words', source: missing }] },
  ],
  ['there is no step to take', /leave no step to take/, { settings: ['trainer.max_steps=0'] }],
  [
    'a step does not fit',
    /model\.batch_size=65536 needs about .* Set model\.batch_size=/,
    { settings: ['model.batch_size=65536', 'model.img_size=[224, 224]'] },
  ],
])(
  'where %s',
  async (name, message, options) => {
    const folder = join(root, name);
    await expect(train(smallRun(folder, {}, { openDevice, ...options }))).rejects.toThrow(message);
    expect((await openDevice()).memory.liveBytes).toBe(0);
    await (await RunFolder.open(folder)).close();
  },
  120_000,
);

test('where the state of the optimizers is of another recipe', async () => {
  const folder = join(root, 'other');
  const runWith = (setting: string): ReturnType<typeof train> =>
    train(smallRun(folder, {}, { openDevice, settings: [setting] }));
  await runWith('trainer.max_steps=2');
  await expect(runWith('model.muon_lr=null')).rejects.toThrow(
    /The options of this run are not those of the one that is to go on/,
  );
  expect((await openDevice()).memory.liveBytes).toBe(0);
  await (await RunFolder.open(folder)).close();
}, 120_000);
