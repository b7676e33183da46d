/** Which weights of a run are averaged, and which branches train. */
import { expect, test } from '@jest/globals';
import { presetConfiguration } from '../train/configuration.js';
import { RunPlan } from '../train/run_plan.js';

/** Steps after which weights go into the average. */
function averaged(batchesPerEpoch: number, ...settings: string[]): number[] {
  const plan = new RunPlan(
    presetConfiguration('tiny', [
      ...['swa=true', 'swa_epoch_start=0.5', 'model.visual_first_pct=0', ...settings],
    ]),
    batchesPerEpoch,
  );
  const steps = Array.from({ length: plan.totalSteps }, (_, i) => i + 1);
  return steps.filter((step) => plan.averagesAt(step, step % plan.stepsPerEpoch === 0));
}

test('a run by epochs averages at their ends', () => {
  expect(averaged(10, 'trainer.max_steps=-1', 'trainer.max_epochs=4')).toEqual([30, 40]);
});

test('a run by steps averages ten times, however long its epochs are', () => {
  expect(averaged(1000, 'trainer.max_steps=200')).toEqual([110, 120, 130, 140, 150, 160, 170, 180, 190, 200]);
  expect(averaged(1000, 'trainer.max_steps=6')).toEqual([4, 5, 6]);
});

test('averages begin once all weights train', () => {
  const steps = ['trainer.max_steps=200', 'swa_epoch_start=0.8'];
  expect(averaged(1000, ...steps, 'model.visual_first_pct=0.85')).toEqual([
    173, 176, 179, 182, 185, 188, 191, 194, 197, 200,
  ]);
  expect(averaged(1000, ...steps, 'model.visual_first_pct=1')[0]).toBe(164);
});

test('nothing is averaged unless it is asked for', () => {
  expect(averaged(10, 'trainer.max_steps=20', 'swa=false')).toEqual([]);
});

test('what is still to train: the visual branch alone, both, or one after the other', () => {
  const phases = (fraction: number, step: number, crossStarted = false): readonly boolean[] => {
    const settings = ['trainer.max_steps=10', `model.visual_first_pct=${fraction}`];
    return new RunPlan(presetConfiguration('tiny', settings), 10).phases(step, crossStarted);
  };
  expect(phases(0, 0)).toEqual([false]);
  expect(phases(0.5, 0)).toEqual([true, false]);
  expect(phases(0.5, 4)).toEqual([true, false]);
  expect(phases(0.5, 5)).toEqual([false]);
  expect(phases(1, 0)).toEqual([true]);
  // By a plan before this one.
  expect(phases(1, 3, true)).toEqual([false]);
});
