import { type Tensor, add, concat, layerNorm, linear, matmul, patches } from '../engine/index.js';
import type { ImageEncoderConfiguration } from './configuration.js';
import type { Parameters } from './parameters.js';
import { clipBlockNames, transformerBlock, vitBlockNames } from './transformer.js';

/** Patches as tokens by a convolution whose stride is its kernel: a matrix product over the cut patches. */
function embedPatches(
  images: Tensor,
  patchSize: readonly [number, number],
  weight: Tensor,
  bias?: Tensor,
): Tensor {
  const cut = patches(images, patchSize);
  return linear(cut, weight.reshape([weight.shape[0]!, -1]), { bias });
}

/**
 * CLIP's image encoder up to its last normalisation (`encode_image` without the projection).
 * @param images `[batch, 3, height, width]`, normalised
 * @param prefix of the parameter names, up to `visual.`
 * @returns `[batch, 1 + patches, width]`: the class token, then the patches row by row
 */
export function encodeClipImage(
  images: Tensor,
  parameters: Parameters,
  prefix: string,
  configuration: ImageEncoderConfiguration,
): Tensor {
  const { patchSize, width, layers, heads, activation, layerNormEpsilon: epsilon } = configuration;
  const get = (name: string): Tensor => parameters.get(`${prefix}${name}`);
  return images.device.scope(() => {
    const batch = images.shape[0]!;
    const embedded = embedPatches(images, patchSize, get('conv1.weight'));
    const classToken = get('class_embedding').expand([batch, 1, width]);
    const placed = add(concat([classToken, embedded], 1), get('positional_embedding'));
    let x = layerNorm(placed, get('ln_pre.weight'), get('ln_pre.bias'), epsilon);
    const options = { heads, activation, epsilon, causal: false };
    for (let layer = 0; layer < layers; layer++) {
      x = replaced(
        x,
        transformerBlock(x, parameters, clipBlockNames(`${prefix}transformer.resblocks.${layer}`), options),
      );
    }
    return layerNorm(x, get('ln_post.weight'), get('ln_post.bias'), epsilon);
  });
}

/**
 * Projects image tokens into the space shared with text.
 * @param tokens `[batch, tokens, width]`
 * @returns `[batch, tokens, embed width]`
 */
export function projectImage(tokens: Tensor, parameters: Parameters, prefix: string): Tensor {
  return matmul(tokens, parameters.get(`${prefix}proj`));
}

/**
 * PARSeq's image encoder: a ViT without class token or projection.
 * @param images `[batch, 3, height, width]`, normalised
 * @returns `[batch, patches, width]`
 */
export function encodeVitImage(
  images: Tensor,
  parameters: Parameters,
  configuration: ImageEncoderConfiguration,
): Tensor {
  const { patchSize, layers, heads, activation, layerNormEpsilon: epsilon } = configuration;
  const get = (name: string): Tensor => parameters.get(`encoder.${name}`);
  return images.device.scope(() => {
    const embedded = embedPatches(
      images,
      patchSize,
      get('patch_embed.proj.weight'),
      get('patch_embed.proj.bias'),
    );
    let x = add(embedded, get('pos_embed'));
    const options = { heads, activation, epsilon, causal: false };
    for (let layer = 0; layer < layers; layer++) {
      x = replaced(x, transformerBlock(x, parameters, vitBlockNames(`encoder.blocks.${layer}`), options));
    }
    return layerNorm(x, get('norm.weight'), get('norm.bias'), epsilon);
  });
}

/** The next activation in place of the last, whose memory the block after next can use. */
export function replaced(previous: Tensor, next: Tensor): Tensor {
  previous.dispose();
  return next;
}
