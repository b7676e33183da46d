/** What the cross branch of CLIP4STR is trained with, and where it starts from. */
import { copyInto } from '../engine/index.js';
import type { TrainingConfiguration, Vl4StrConfiguration } from './configuration_schema.js';
import type { PermutedLossOptions } from './permuted_loss.js';
import { type TrainableModel, isClip4Str } from './trainable_model.js';

/** Nothing for models of one branch. */
export function crossOptions(configuration: TrainingConfiguration): PermutedLossOptions {
  return isClip4Str(configuration) ? clip4strOptions(configuration) : {};
}

export function clip4strOptions({
  model,
}: Vl4StrConfiguration): Required<Omit<PermutedLossOptions, 'dropout' | 'visualOnly'>> {
  return {
    imageDetach: model.image_detach,
    crossGtContext: model.cross_gt_context,
    crossClozeMask: model.cross_cloze_mask,
    crossLossWeight: model.cross_loss_w,
  };
}

/** What the visual decoder has learnt is where the cross decoder starts, as far as their shapes agree. */
export function startCrossDecoder({ device, parameters }: TrainableModel): void {
  device.scope(() => {
    for (const [name, tensor] of parameters.entries()) {
      if (!name.startsWith('cross_decoder.')) continue;
      const visual = parameters.get(name.replace('cross_decoder.', 'visual_decoder.'));
      if (visual.shape.join() === tensor.shape.join()) copyInto(visual.detach(), tensor.detach());
    }
  });
}
