/** What is stored in `bench/results`, as the commands that measure printed it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KernelReport } from '../kernels/report.js';
import type { ReadingReport, TrainingReport } from '../model/report.js';
import type { ScalingReport } from '../scaling/run.js';

export interface Stored {
  /** CLIP's B/16 image encoder and the text encoder of CLIP4STR-B for one image, by the type of their weights. */
  readonly encoder: Readonly<Record<'f32' | 'f16' | 'int8', KernelReport>>;
  /** The shipped model, reading and in training. */
  readonly tiny: KernelReport;
  readonly squares: KernelReport;
  readonly readingTiny: ReadingReport;
  readonly readingBase: ReadingReport;
  /** CLIP4STR-L in each precision. */
  readonly readingLarge: readonly ReadingReport[];
  readonly trainingSpeed: TrainingReport;
  readonly trainingMemory: readonly TrainingReport[];
  readonly scaling: ScalingReport;
}

/** @param folder that of the results */
export function readStored(folder: string): Stored {
  const stored = <T>(name: string): T => JSON.parse(readFileSync(join(folder, name), 'utf8')) as T;
  return {
    encoder: {
      f32: stored('kernels_base_encoder.json'),
      f16: stored('kernels_base_encoder_f16.json'),
      int8: stored('kernels_base_encoder_int8.json'),
    },
    tiny: stored('kernels_tiny.json'),
    squares: stored('kernels_square.json'),
    readingTiny: stored('reading_tiny.json'),
    readingBase: stored('reading_base.json'),
    readingLarge: stored('memory_large.json'),
    trainingSpeed: stored('training_speed.json'),
    trainingMemory: stored('training_memory_base.json'),
    scaling: stored('scaling.json'),
  };
}
