/** How far the tensors of a small trained checkpoint lie from those that the original computed with it from the same pixels. */
import { join } from 'node:path';
import type { Device } from '../engine/index.js';
import { Clip4Str } from '../model/index.js';
import { ReferenceFile, type ReferenceReading, compareReference } from './reference/index.js';

/** One tensor of the reference. */
export interface TensorError {
  readonly tensor: string;
  /** Largest absolute difference; infinite where something is not a number, or does not fit. */
  readonly maxAbsoluteError: number;
}

/** The reference holds two runs, under names from before there was a format. */
const runs = [
  {
    names: {
      memory: 'memory',
      visual_logits: 'visual_ar_logits',
      caption_tokens_0: 'caption_tokens_ar',
      cross_logits: 'cross_ar_logits',
      visual_refined_logits_1: 'visual_refined_logits',
      logits: 'logits',
    },
    metadata: { stopping: 'independent' },
  },
  { names: { logits: 'logits_batch16' }, metadata: { stopping: 'batch', batch_size: 16 } },
] as const satisfies ReferenceReading[];

/** The checkpoint that the original read with. */
export const referenceCheckpoint = 'clip4str_tiny.safetensors';

/** @param folder that holds the reference's `logits.safetensors`, and the checkpoint */
export async function tinyLogitsErrors(device: Device, folder: string): Promise<TensorError[]> {
  const reader = await Clip4Str.load(device, join(folder, referenceCheckpoint));
  const errors: TensorError[] = [];
  try {
    for (const { names, metadata } of runs) {
      const file = await ReferenceFile.open(join(folder, 'logits.safetensors'), { names, metadata });
      try {
        const { stages } = await compareReference(device, reader.model, file, { tolerance: 0 });
        for (const { stage, misfit, largestError } of stages) {
          const tensor = (names as Readonly<Record<string, string>>)[stage]!;
          errors.push({ tensor, maxAbsoluteError: misfit === undefined ? largestError : Infinity });
        }
      } finally {
        await file.close();
      }
    }
  } finally {
    reader.dispose();
  }
  return errors;
}
