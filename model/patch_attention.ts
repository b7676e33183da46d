import type { Tensor } from '../engine/index.js';
import type { ImageEncoderConfiguration } from './configuration.js';

/**
 * Attention over the patches alone.
 * @param looked `[batch, positions, memory tokens]`: with CLIP's class token in front, and maybe a caption behind
 * @param positions of the reading; further ones were not computed
 * @returns `[batch, positions, patches]`
 */
export function patchAttention(looked: Tensor, image: ImageEncoderConfiguration, positions: number): Tensor {
  const { imageSize, patchSize, kind } = image;
  const patches = (imageSize[0] / patchSize[0]) * (imageSize[1] / patchSize[1]);
  const first = kind === 'clip' ? 1 : 0;
  return looked.slice(1, 0, positions).slice(2, first, first + patches);
}
