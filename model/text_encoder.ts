import { type Device, type Tensor, embedding, gather, layerNorm, matmul } from '../engine/index.js';
import { tokenizeCaptions } from './clip_tokenizer.js';
import type { TextEncoderConfiguration } from './configuration.js';
import { replaced } from './image_encoder.js';
import type { Parameters } from './parameters.js';
import { clipBlockNames, transformerBlock } from './transformer.js';

/**
 * Texts as CLIP's byte-pair ids on a device.
 * @returns `[texts, context length]` u32, and where each text ends
 * @throws Error when the model's vocabulary lacks a token
 */
export function textTokens(
  device: Device,
  texts: readonly string[],
  { contextLength, vocabulary }: TextEncoderConfiguration,
): { tokens: Tensor; ends: readonly number[] } {
  const ids = Uint32Array.from(tokenizeCaptions(texts, contextLength));
  const largest = ids.reduce((most, id) => Math.max(most, id), 0);
  if (largest >= vocabulary) {
    throw new Error(
      `texts need CLIP's token ${largest}; this checkpoint's token embedding has ${vocabulary} rows, so it was ` +
        'made with another vocabulary.',
    );
  }
  return {
    tokens: device.tensor(ids, [texts.length, contextLength]),
    ends: endPositions(ids, contextLength),
  };
}

/**
 * CLIP's text encoder with its projection, at every position (`encode_text` without the pooling).
 * @param tokens `[batch, context length]` u32: CLIP's byte-pair ids
 * @param prefix of the parameter names: `clip_model.` or nothing
 * @param recompute see `BlockOptions`
 * @returns `[batch, context length, embed width]`
 */
export function encodeText(
  tokens: Tensor,
  parameters: Parameters,
  prefix: string,
  configuration: TextEncoderConfiguration,
  recompute = false,
): Tensor {
  const get = (name: string): Tensor => parameters.get(`${prefix}${name}`);
  return tokens.device.scope(() => {
    const positions = get('positional_embedding').slice(0, 0, tokens.shape[1]);
    let x = embedding(get('token_embedding.weight'), tokens, { positions });
    const options = {
      heads: configuration.heads,
      activation: 'quick_gelu',
      epsilon: 1e-5,
      causal: true,
      recompute,
    } as const;
    for (let layer = 0; layer < configuration.layers; layer++) {
      x = replaced(
        x,
        transformerBlock(x, parameters, clipBlockNames(`${prefix}transformer.resblocks.${layer}`), options),
      );
    }
    const normalized = layerNorm(x, get('ln_final.weight'), get('ln_final.bias'));
    return matmul(normalized, get('text_projection'));
  });
}

/**
 * The feature at each text's end token.
 * @param features `[batch, context length, width]`
 * @param endPositions `[batch]`, host values: where the end token of each text stands
 * @returns `[batch, 1, width]`
 */
export function poolText(features: Tensor, endPositions: readonly number[]): Tensor {
  const { device } = features;
  return device.scope(() => {
    const index = device.tensor(Uint32Array.from(endPositions), [endPositions.length, 1]);
    return gather(features, index, 1);
  });
}

/**
 * Where each text ends: the first position of its largest id, since the end token is CLIP's largest.
 * @param ids `[texts, contextLength]`
 */
function endPositions(ids: Uint32Array, contextLength: number): number[] {
  return Array.from({ length: ids.length / contextLength }, (_, row) => {
    const own = ids.subarray(row * contextLength, (row + 1) * contextLength);
    return own.indexOf(own.reduce((largest, id) => Math.max(largest, id), 0));
  });
}
