/** That a run goes on as if it had never stopped, wherever its process was killed. */
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import type { TrainingObserver } from '../train/events.js';
import { train } from '../train/trainer.js';
import { type Intervals, intervals, useReferenceRuns } from './support/reference_runs.js';
import { type KillingEvent, runKilled } from './support/small_run.js';

const { root, sharedRun, expectSame } = useReferenceRuns();

test.each<[Intervals, readonly (readonly [number, KillingEvent])[]]>([
  [
    'apart',
    [
      [1, 'step'],
      [3, 'validation'],
      [4, 'checkpoint'],
      [5, 'step'],
      [6, 'validation'],
    ],
  ],
  [
    'together',
    [
      [2, 'checkpoint'],
      [4, 'validation'],
    ],
  ],
])(
  'killed again and again, at steps, validations and checkpoints, intervals %s',
  async (kind, points) => {
    const folder = join(root, `killed-${kind}`);
    for (const [step, event] of points) {
      expect(await runKilled(folder, step, event, intervals[kind])).toBe('SIGKILL');
    }
    await train(sharedRun(folder, {}, { settings: intervals[kind] }));
    expectSame(folder, kind);
  },
  600_000,
);

test('killed in the validation that an earlier stop has left due', async () => {
  const folder = join(root, 'stopped-killed');
  const settings = intervals.apart;
  const controller = new AbortController();
  const stopping: TrainingObserver = { step: ({ step }) => void (step === 3 && controller.abort()) };
  await train(sharedRun(folder, stopping, { settings, signal: controller.signal }));
  for (const event of ['validation', 'checkpoint'] as const) {
    expect(await runKilled(folder, 3, event, settings)).toBe('SIGKILL');
  }
  await train(sharedRun(folder, {}, { settings }));
  expectSame(folder, 'apart');
}, 600_000);
