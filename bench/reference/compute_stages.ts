import type { Device } from '../../engine/index.js';
import {
  type CharsetAdapter,
  Clip4StrModel,
  type DecodingOptions,
  type Recognizer,
  captionFromIds,
  tokenizeCaptions,
} from '../../model/index.js';
import { greedyIds } from '../../model/reading_text.js';
import { visualStage } from './format.js';

/** Values on the host with their shape. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * Reads a batch and keeps what the stages computed.
 * @param pixels `[batch, 3, height, width]`, normalised
 * @param wanted names of the stages that are kept; logits are kept in any case
 */
export function computeStages(
  device: Device,
  model: Recognizer,
  { data, shape }: HostTensor,
  options: DecodingOptions,
  wanted: (stage: string) => boolean,
): Promise<Map<string, HostTensor>> {
  const stages = new Map<string, HostTensor>();
  return device.exclusively(() =>
    device.scope(async () => {
      const { logits } = await model.recognize(device.tensor(Float32Array.from(data), shape), {
        ...options,
        onStage: async (stage, value) => {
          if (!wanted(stage) && !stage.includes('logits')) return;
          stages.set(stage, { shape: value.shape, data: (await value.read()) as Float32Array });
        },
      });
      stages.set('logits', { shape: logits.shape, data: (await logits.read()) as Float32Array });
      if (!(model instanceof Clip4StrModel)) return stages;
      for (let pass = 0; pass <= options.refineIterations; pass++) {
        const [tokens, features] = [`caption_tokens_${pass}`, `text_features_${pass}`] as const;
        const captions = captionsOf(model, stages.get(visualStage(pass))!, options.captionAdapter);
        if (wanted(tokens)) stages.set(tokens, captionTokens(model, captions));
        if (wanted(features)) stages.set(features, await textFeatures(device, model, captions));
      }
      return stages;
    }),
  );
}

/** The captions that a batch's visual logits spell, as the model makes them between its branches. */
function captionsOf(
  { tokenizer }: Clip4StrModel,
  { data, shape }: HostTensor,
  adapter: CharsetAdapter,
): string[] {
  const [batch, positions] = shape as [number, number];
  const ids = greedyIds(data, tokenizer.classes);
  return Array.from({ length: batch }, (_, row) =>
    captionFromIds(ids.subarray(row * positions, (row + 1) * positions), tokenizer, adapter),
  );
}

function captionTokens({ configuration }: Clip4StrModel, captions: readonly string[]): HostTensor {
  const { contextLength } = configuration.text;
  const ids = tokenizeCaptions(captions, contextLength);
  return { shape: [captions.length, contextLength], data: Float32Array.from(ids) };
}

/** Computed once more: between the branches the features stay inside one step. */
function textFeatures(
  device: Device,
  model: Clip4StrModel,
  captions: readonly string[],
): Promise<HostTensor> {
  return device.scope(async () => {
    const features = model.encodeCaptions(captions);
    return { shape: features.shape, data: (await features.read()) as Float32Array };
  });
}
