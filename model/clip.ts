import { type Device, type Tensor, divide, exp, linear, multiply, sqrt, sum } from '../engine/index.js';
import type { ClipConfiguration } from './configuration.js';
import { encodeClipImage, projectImage } from './image_encoder.js';
import type { Parameters } from './parameters.js';
import { encodeText, poolText, textTokens } from './text_encoder.js';

/** Plain CLIP (Radford et al., 2021): how well images and texts fit each other. */
export class Clip {
  constructor(
    private readonly device: Device,
    readonly parameters: Parameters,
    readonly configuration: ClipConfiguration,
  ) {}

  /** Class-token features `[batch, embed width]` of images `[batch, 3, height, width]`, not normalised. */
  encodeImages(images: Tensor): Tensor {
    return this.device.scope(() => {
      const tokens = encodeClipImage(images, this.parameters, 'visual.', this.configuration.image);
      return projectImage(tokens.slice(1, 0, 1), this.parameters, 'visual.').reshape([images.shape[0]!, -1]);
    });
  }

  /** Projected features at all positions: `[texts, context length, embed width]`. */
  encodeTexts(texts: readonly string[]): Tensor {
    return this.device.scope(() => {
      const { tokens } = textTokens(this.device, texts, this.configuration.text);
      return encodeText(tokens, this.parameters, '', this.configuration.text);
    });
  }

  /** Features at the end of each text: `[texts, embed width]`, not normalised. */
  encodeTextEnds(texts: readonly string[]): Tensor {
    return this.device.scope(() => {
      const { tokens, ends } = textTokens(this.device, texts, this.configuration.text);
      const features = encodeText(tokens, this.parameters, '', this.configuration.text);
      return poolText(features, ends).reshape([texts.length, -1]);
    });
  }

  /** Similarity of images and texts times CLIP's learned scale (`logits_per_image`): `[images, texts]`. */
  similarity(images: Tensor, texts: readonly string[]): Tensor {
    return this.device.scope(() => {
      const imageFeatures = normalized(this.encodeImages(images));
      const textFeatures = normalized(this.encodeTextEnds(texts));
      const cosines = linear(imageFeatures, textFeatures);
      return multiply(cosines, exp(this.parameters.get('logit_scale')));
    });
  }
}

/** Rows scaled to length 1. */
function normalized(features: Tensor): Tensor {
  return divide(features, sqrt(sum(multiply(features, features), [1], true)));
}
