/** How far the tensors of a small trained checkpoint lie from those that the original computed with it from the same pixels. */
import { join } from 'node:path';
import type { Device, Tensor } from '../engine/index.js';
import { CharsetAdapter } from '../model/charset.js';
import { Clip4StrModel } from '../model/clip4str.js';
import { tokenizeCaptions } from '../model/clip_tokenizer.js';
import { loadModel } from '../model/load_model.js';
import { captionFromIds, greedyIds } from '../model/reading_text.js';
import type { DecodingOptions } from '../model/recognizer.js';
import { type Checkpoint, openCheckpoint, openParameters } from '../weights/index.js';

/** One tensor of the reference. */
export interface TensorError {
  readonly tensor: string;
  /** Largest absolute difference; infinite where shapes differ or something is not a number. */
  readonly maxAbsoluteError: number;
}

/** Reference tensors, by the stage of decoding that computes them. */
const stages = {
  memory: 'memory',
  visual_logits: 'visual_ar_logits',
  cross_logits: 'cross_ar_logits',
  visual_refined_logits_1: 'visual_refined_logits',
  cross_refined_logits_1: 'logits',
} as const;

/** The checkpoint that the original read with. */
export const referenceCheckpoint = 'clip4str_tiny.safetensors';

/** @param folder that holds the reference's `logits.safetensors`, and the checkpoint */
export async function tinyLogitsErrors(device: Device, folder: string): Promise<TensorError[]> {
  const stored = await openCheckpoint(join(folder, 'logits.safetensors'));
  const source = await openParameters(join(folder, referenceCheckpoint));
  try {
    const model = await loadModel(device, source);
    if (!(model instanceof Clip4StrModel)) throw new Error(`${source.name}: expected a CLIP4STR model.`);
    try {
      return await compareStages(device, model, stored);
    } finally {
      model.parameters.dispose();
    }
  } finally {
    await source.close();
    await stored.close();
  }
}

async function compareStages(
  device: Device,
  model: Clip4StrModel,
  stored: Checkpoint,
): Promise<TensorError[]> {
  const computed = new Map<string, Float32Array>();
  const { shape } = stored.tensors.get('images')!;
  const pixels = Float32Array.from(await stored.readF32('images'));
  const captionAdapter = new CharsetAdapter(model.configuration.testCharset);
  const recognize = (options: Pick<DecodingOptions, 'stopping' | 'onStage'>): Promise<Float32Array> =>
    device.scope(async () => {
      const { logits } = await model.recognize(device.tensor(pixels, shape), {
        autoregressive: true,
        refineIterations: 1,
        captionAdapter,
        ...options,
      });
      return (await logits.read()) as Float32Array;
    });
  const onStage = async (stage: string, value: Tensor): Promise<void> => {
    const name = (stages as Readonly<Record<string, string>>)[stage];
    if (name !== undefined) computed.set(name, (await value.read()) as Float32Array);
  };
  await recognize({ stopping: 'independent', onStage });
  computed.set('logits_batch16', await recognize({ stopping: 'batch' }));
  computed.set('caption_tokens_ar', captionTokens(model, computed.get('visual_ar_logits')!, captionAdapter));

  return Promise.all(
    [...computed].map(async ([tensor, values]) => ({
      tensor,
      maxAbsoluteError: maxAbsoluteError(values, await stored.readF32(tensor)),
    })),
  );
}

/** CLIP's ids of the captions that a batch's visual logits spell. */
function captionTokens(model: Clip4StrModel, logits: Float32Array, adapter: CharsetAdapter): Float32Array {
  const { tokenizer, configuration } = model;
  const ids = greedyIds(logits, tokenizer.classes);
  const positions = configuration.visualDecoder.maxLabelLength + 1;
  const captions = Array.from({ length: ids.length / positions }, (_, row) =>
    captionFromIds(ids.subarray(row * positions, (row + 1) * positions), tokenizer, adapter),
  );
  return Float32Array.from(tokenizeCaptions(captions, configuration.text.contextLength));
}

function maxAbsoluteError(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) return Infinity;
  return expected.reduce((largest, value, index) => {
    const error = Math.abs(actual[index]! - value);
    return Number.isNaN(error) ? Infinity : Math.max(largest, error);
  }, 0);
}
