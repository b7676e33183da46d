import { type Tensor, add, copyInto, layerNorm, linear, matmul, patches } from '../engine/index.js';
import type { ImageEncoderConfiguration } from './configuration.js';
import type { Parameters } from './parameters.js';
import { clipBlockNames, transformerBlock, vitBlockNames } from './transformer.js';

/** Patches as tokens by a convolution whose stride is its kernel: a matrix product over the cut patches. */
function embedPatches(
  images: Tensor,
  patchSize: readonly [number, number],
  weight: Tensor,
  bias: Tensor | undefined,
  into?: Tensor,
): Tensor {
  const cut = patches(images, patchSize);
  return linear(cut, weight.reshape([weight.shape[0]!, -1]), { bias, ...(into ? { into } : {}) });
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
  const { device } = images;
  return device.scope(() => {
    const batch = images.shape[0]!;
    const positions = get('positional_embedding');
    const tokens = device.empty('f32', [batch, positions.shape[0]!, width]);
    embedPatches(images, patchSize, get('conv1.weight'), undefined, tokens.slice(1, 1));
    copyInto(get('class_embedding').reshape([1, 1, width]), tokens.slice(1, 0, 1));
    const placed = add(tokens, positions);
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
