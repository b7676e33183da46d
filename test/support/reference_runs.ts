/** Runs that nothing has stopped, which others are compared with. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from '@jest/globals';
import type { TrainingObserver } from '../../train/events.js';
import { type TrainingOptions, train } from '../../train/trainer.js';
import { useTrainingDevice } from './device.js';
import { lastFiles, smallRun } from './small_run.js';

/** The first is of a step without a checkpoint of its own, the second of one with. */
export const intervals = {
  apart: ['trainer.val_check_interval=3', 'trainer.checkpoint_interval=2'],
  together: ['trainer.val_check_interval=2', 'trainer.checkpoint_interval=2'],
};
export type Intervals = keyof typeof intervals;

/** What the tests of a file compare their runs with, and a folder for these. */
export interface ReferenceRuns {
  readonly root: string;
  /** Folder of the run with such intervals. */
  readonly reference: (kind: Intervals) => string;
  /** A run on the device that the tests share, unless they open others. */
  readonly sharedRun: (
    folder: string,
    observer: TrainingObserver,
    options?: Parameters<typeof smallRun>[2],
  ) => TrainingOptions;
  /** That a run has left the same bytes. */
  readonly expectSame: (folder: string, kind: Intervals) => void;
}

/** Trains the references before the tests of a file, and removes the folder after them. */
export function useReferenceRuns(): ReferenceRuns {
  const root = mkdtempSync(join(tmpdir(), 'clip4str-resume-'));
  const openDevice = useTrainingDevice();
  const reference = (kind: Intervals): string => join(root, `reference-${kind}`);
  const sharedRun: ReferenceRuns['sharedRun'] = (folder, observer, options = {}) =>
    smallRun(folder, observer, { openDevice, ...options });
  beforeAll(async () => {
    for (const kind of ['apart', 'together'] as const) {
      await train(sharedRun(reference(kind), {}, { settings: intervals[kind] }));
    }
  }, 300_000);
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  const filesOf = (folder: string): string[] => [...lastFiles(folder), join(folder, 'best.safetensors')];
  const expectSame = (folder: string, kind: Intervals): void => {
    const expected = filesOf(reference(kind));
    filesOf(folder).forEach((file, i) => {
      expect(readFileSync(file).equals(readFileSync(expected[i]!))).toBe(true);
    });
  };
  return { root, reference, sharedRun, expectSame };
}
