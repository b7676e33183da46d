/** What runs of `bench --model` and `bench --training` found, as it is printed and stored; what PyTorch did is beside it. */
import type { Runner } from '../kernels/runner.js';
import type { Machine } from '../report/machine.js';
import type { EncoderComparison } from './encoder_comparison.js';
import type { ReadingTimes } from './reading.js';
import type { StartUp, UnableStartUp } from './start_up.js';
import type { TrainingTimes } from './training.js';

export interface ReadingReport {
  readonly kind: 'model';
  readonly date: string;
  readonly machine: Machine;
  readonly checkpoint: string;
  readonly precision: string;
  readonly startUp: StartUp | UnableStartUp;
  readonly loadMs: number;
  readonly peakFlopsPerSecond: number;
  readonly readings: readonly ReadingTimes[];
  /** Where others took part: who, and the image encoder by them. */
  readonly peers?: readonly Pick<Runner, 'name' | 'version' | 'computesOn'>[];
  readonly encoders?: readonly EncoderComparison[];
}

export interface TrainingReport {
  readonly kind: 'training';
  readonly date: string;
  readonly machine: Machine;
  readonly steps: readonly TrainingTimes[];
}
