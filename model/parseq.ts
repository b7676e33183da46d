import type { Tensor } from '../engine/index.js';
import type { ParseqConfiguration } from './configuration.js';
import { encodeVitImage } from './image_encoder.js';
import { SingleBranchModel } from './single_branch.js';

/** PARSeq (Bautista and Atienza, 2022): a ViT encoder and one permuted autoregressive decoder. */
export class Parseq extends SingleBranchModel<ParseqConfiguration> {
  encode(images: Tensor): Tensor {
    return encodeVitImage(images, this.parameters, this.configuration.image, this.recomputeBlocks);
  }
}
