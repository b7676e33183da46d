import type { Tensor } from '../engine/index.js';
import { type ClipImageFeatures, adaptFeatures } from './adapter.js';
import type { StrAdapterConfiguration } from './configuration.js';
import { encodeClipImageBlocks, projectImage } from './image_encoder.js';
import { SingleBranchModel } from './single_branch.js';

/**
 * CLIP's image encoder with an adapter, and PARSeq's decoder: the `str_adapter` of CLIP4STR's authors. Only the adapter
 * and the decoder are trained.
 */
export class StrAdapterModel extends SingleBranchModel<StrAdapterConfiguration> {
  encode(images: Tensor): Tensor {
    const { image, adapter } = this.configuration;
    return this.device.scope(() =>
      adaptFeatures(this.encodeClip(images), this.parameters, adapter, image, this.recomputeBlocks),
    );
  }

  /** What the adapter starts from, of images `[batch, 3, height, width]`. */
  encodeClip(images: Tensor): ClipImageFeatures {
    const { image, adapter } = this.configuration;
    const prefix = 'clip_model.visual.';
    const blocks = 'blocks' in adapter ? adapter.blocks : [];
    return this.device.scope(() => {
      // CLIP is frozen: there is nothing to compute again for gradients.
      const { tokens, blockInputs } = encodeClipImageBlocks(images, this.parameters, prefix, image, blocks);
      return { projected: projectImage(tokens, this.parameters, prefix), blockInputs };
    });
  }
}
