/** That a run goes on as if it had never stopped, wherever it was asked to stop and whatever is left of it. */
import { cpSync, readFileSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { type Device, openDevice } from '../engine/index.js';
import type { TrainingObserver } from '../train/events.js';
import { train } from '../train/trainer.js';
import { openParameters } from '../weights/index.js';
import { type Intervals, intervals, useReferenceRuns } from './support/reference_runs.js';

const { root, reference, sharedRun, expectSame } = useReferenceRuns();

/** Writes down what happens, in order. */
function diary(): TrainingObserver & { readonly lines: string[] } {
  const lines: string[] = [];
  return {
    lines,
    start: ({ step }) => void lines.push(`start ${step}`),
    step: ({ step }) => void lines.push(`step ${step}`),
    validation: ({ step }) => void lines.push(`validation ${step}`),
    checkpoint: ({ step, kind }) => void lines.push(`${kind} ${step}`),
    notice: (message) => void lines.push(message),
    end: ({ reason }) => void lines.push(reason),
  };
}

test.each<[Intervals, number]>([
  ['apart', 3],
  ['together', 2],
])(
  'asked to stop, intervals %s, in step %d that is to be validated',
  async (kind, at) => {
    const folder = join(root, `stopped-${kind}`);
    const controller = new AbortController();
    const stopping: TrainingObserver = { step: ({ step }) => void (step === at && controller.abort()) };
    const first = diary();
    const settings = intervals[kind];
    const stopped = { settings, signal: controller.signal, observers: [first, stopping] };
    expect(await train(sharedRun(folder, first, stopped))).toEqual({ step: at, reason: 'stopped' });
    const second = diary();
    await train(sharedRun(folder, second, { settings }));
    const [whether, other] = [first, second].map(({ lines }) => lines.includes(`validation ${at}`));
    expect([whether, other]).toEqual([false, true]);
    expectSame(folder, kind);
  },
  300_000,
);

test('a run that is stopped while it validates for the second time loses nothing', async () => {
  const folder = join(root, 'stopped-twice');
  const settings = intervals.apart;
  for (const event of ['step', 'start'] as const) {
    const controller = new AbortController();
    const stopping: TrainingObserver = {
      [event]: ({ step }: { readonly step: number }) => {
        if (step === 3) controller.abort();
      },
    };
    const end = await train(sharedRun(folder, stopping, { settings, signal: controller.signal }));
    expect(end).toEqual({ step: 3, reason: 'stopped' });
  }
  await train(sharedRun(folder, {}, { settings }));
  expectSame(folder, 'apart');
}, 300_000);

test('a device that is lost between a validation and the checkpoint after it', async () => {
  const folder = join(root, 'lost');
  const devices: Device[] = [];
  const seen = diary();
  const breaking: TrainingObserver = {
    validation: ({ step }) => {
      if (step === 3 && devices.length === 1) devices[0]!.gpu.destroy();
    },
  };
  await train(
    sharedRun(folder, seen, {
      settings: intervals.apart,
      observers: [seen, breaking],
      openDevice: async () => {
        devices.push(await openDevice({ device: 'software', hideDriverWarnings: true }));
        return devices.at(-1)!;
      },
    }),
  );
  expect(seen.lines.filter((line) => line === 'validation 3')).toHaveLength(2);
  expect(seen.lines.filter((line) => line.startsWith('start'))).toEqual(['start 0']);
  expectSame(folder, 'apart');
}, 300_000);

test.each(['step-00000006.state.safetensors', 'step-00000006.safetensors'])(
  'a damaged %s is kept, and the run goes on from the step before',
  async (name) => {
    const folder = join(root, `damaged-${name}`);
    cpSync(reference('apart'), folder, { recursive: true });
    truncateSync(join(folder, name), 500);
    const seen = diary();
    await train(sharedRun(folder, seen, { settings: intervals.apart }));
    const notices = seen.lines.filter((line) => line.startsWith(name));
    expect(notices).toHaveLength(1);
    expect(notices[0]).toMatch(
      /500 bytes.*kept as step-00000006\.safetensors\.damaged and .* from step 4\.$/,
    );
    expect(seen.lines).toContain('start 4');
    expect(readFileSync(join(folder, `${name}.damaged`))).toHaveLength(500);
    expectSame(folder, 'apart');
  },
  300_000,
);

test('where all checkpoints are damaged nothing is begun', async () => {
  const folder = join(root, 'all-damaged');
  cpSync(reference('apart'), folder, { recursive: true });
  const states = readdirSync(folder).filter((name) => name.endsWith('.state.safetensors'));
  for (const name of states) truncateSync(join(folder, name), 0);
  const before = readdirSync(folder);
  const seen = diary();
  await expect(train(sharedRun(folder, seen, { settings: intervals.apart }))).rejects.toThrow(
    /^step-00000006\.state\.safetensors: is empty: it is damaged, and so are the checkpoints before it.*begin anew/,
  );
  expect(seen.lines).toEqual(['failed']);
  expect(readdirSync(folder)).toEqual(before);
}, 120_000);

test('where the plan is cut short, the cross decoder starts from the visual one at once', async () => {
  const folder = join(root, 'cut-short');
  // Next to nothing is learnt, so that a start can be seen at the end.
  const still = ['model.lr=1e-12', 'model.muon_lr=1e-12', 'trainer.val_check_interval=100', 'swa=false'];
  const controller = new AbortController();
  const stopping: TrainingObserver = { step: () => controller.abort() };
  const settings = [...still, 'trainer.max_steps=8'];
  const stopped = sharedRun(folder, stopping, { settings, signal: controller.signal });
  expect(await train(stopped)).toEqual({ step: 1, reason: 'stopped' });
  expect(await decodersDiffer(join(folder, 'step-00000001.safetensors'))).toBe(true);
  await train(sharedRun(folder, {}, { settings: [...still, 'trainer.max_steps=2'] }));
  expect(await decodersDiffer(join(folder, 'step-00000002.safetensors'))).toBe(false);

  // A longer plan does not send it back to one branch.
  const crossLosses: (number | undefined)[] = [];
  const watching: TrainingObserver = { step: ({ crossLoss }) => void crossLosses.push(crossLoss) };
  await train(sharedRun(folder, watching, { settings: [...still, 'trainer.max_steps=10'] }));
  expect(crossLosses).toHaveLength(8);
  expect(crossLosses).not.toContain(undefined);
}, 120_000);

async function decodersDiffer(path: string): Promise<boolean> {
  const source = await openParameters(path);
  try {
    const [visual, cross] = await Promise.all(
      ['visual', 'cross'].map((branch) => source.readF32(`${branch}_decoder.layers.0.linear1.weight`)),
    );
    return visual!.some((value, i) => Math.abs(value - cross![i]!) > 1e-6);
  } finally {
    await source.close();
  }
}

test('a model of other sizes cannot go on', async () => {
  const settings = [...intervals.apart, 'model.embed_dim=128'];
  await expect(train(sharedRun(reference('apart'), {}, { settings }))).rejects.toThrow(
    /^step-00000006\.safetensors: \d+ of another shape .*leave the options as they were/,
  );
}, 120_000);

test('a second run in the folder is refused, and the first goes on', async () => {
  const folder = join(root, 'shared');
  const refusals: string[] = [];
  const rival: TrainingObserver = {
    step: async ({ step }) => {
      if (step !== 2) return;
      writeFileSync(join(folder, 'step-00000002.safetensors.1234.tmp'), '');
      await train(sharedRun(folder, {})).catch((error: unknown) => refusals.push(String(error)));
      expect(readdirSync(folder)).toContain('step-00000002.safetensors.1234.tmp');
    },
  };
  await train(sharedRun(folder, rival, { settings: intervals.apart }));
  expect(refusals).toEqual([expect.stringMatching(/in use by process/)]);
  expectSame(folder, 'apart');
}, 300_000);

test('every observer is told of the end, and the first fault is the one thrown', async () => {
  const failing: TrainingObserver = {
    start: () => {
      throw new Error('the first fault');
    },
    end: () => {
      throw new Error('the second fault');
    },
  };
  const seen = diary();
  const observers = [failing, seen];
  await expect(train(sharedRun(join(root, 'faults'), seen, { observers }))).rejects.toThrow(
    'the first fault',
  );
  expect(seen.lines).toEqual(['failed']);
  const late: TrainingObserver = { end: () => failing.end?.({ step: 6, reason: 'complete' }) };
  const done = diary();
  const complete = sharedRun(reference('apart'), done, {
    observers: [late, done],
    settings: intervals.apart,
  });
  await expect(train(complete)).rejects.toThrow('the second fault');
  expect(done.lines.filter((line) => line === 'complete' || line === 'failed')).toEqual(['complete']);
}, 300_000);
