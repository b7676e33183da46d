/** What is stored in `bench/results` of the software adapter, as the commands that measure printed it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KernelReport } from '../kernels/report.js';
import type { ReadingReport, TrainingReport } from '../model/report.js';
import type { ScalingReport } from '../scaling/run.js';
import { onSoftware } from './commands.js';

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
  readonly trainingSpeed: readonly TrainingReport[];
  readonly trainingMemory: readonly TrainingReport[];
  readonly scaling: ScalingReport;
}

/** @param folder that of the results */
export function readStored(folder: string): Stored {
  const stored = <T>(name: keyof typeof onSoftware): T =>
    JSON.parse(readFileSync(join(folder, onSoftware[name].file), 'utf8')) as T;
  return {
    encoder: { f32: stored('encoderF32'), f16: stored('encoderF16'), int8: stored('encoderInt8') },
    tiny: stored('tiny'),
    squares: stored('squares'),
    readingTiny: stored('readingTiny'),
    readingBase: stored('readingBase'),
    readingLarge: stored('readingLarge'),
    trainingSpeed: stored('trainingSpeed'),
    trainingMemory: stored('trainingMemory'),
    scaling: stored('scaling'),
  };
}
