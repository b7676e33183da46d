/** What must stay as it was when a run goes on. */
import type { TrainingConfiguration } from './configuration_schema.js';

/** Options of the model that settle its weights, what they mean, and where they come from. */
const fixed: ReadonlySet<string> = new Set([
  'name',
  'img_size',
  'patch_size',
  'embed_dim',
  'dec_num_heads',
  'dec_mlp_ratio',
  'dec_depth',
  'charset_train',
  'max_label_length',
  'enc_width',
  'enc_depth',
  'enc_num_heads',
  'enc_mlp_ratio',
  'text_width',
  'text_depth',
  'context_length',
  'use_share_dim',
  'clip_cls_eot_feature',
  'adapter_type',
  'block_ids',
  'prune_reduction',
  'clip_pretrained',
]);

export interface ChangedOption {
  readonly option: string;
  readonly stored: string;
  readonly given: string;
}

/**
 * The first option that differs between a run's configuration and the one that it is to go on with, of those that
 * must stay as they were: they settle the model, or what the run has drawn and counted so far.
 */
export function changedFixedOption(
  stored: TrainingConfiguration,
  given: TrainingConfiguration,
): ChangedOption | undefined {
  const before = new Map(fixedOptions(stored));
  for (const [option, value] of fixedOptions(given)) {
    const [was, is] = [JSON.stringify(before.get(option)), JSON.stringify(value)];
    // Where epochs may end the run, its plan counts steps of so many images.
    if (was !== is && (option !== imagesOfStep || given.trainer.max_epochs > 0)) {
      return { option, stored: was, given: is };
    }
  }
  return undefined;
}

const imagesOfStep = 'model.batch_size times trainer.accumulate_grad_batches';

function fixedOptions({ model, pretrained, seed, trainer }: TrainingConfiguration): [string, unknown][] {
  const ofModel = Object.entries(model).flatMap(([key, value]: [string, unknown]): [string, unknown][] =>
    fixed.has(key) ? [[`model.${key}`, value]] : [],
  );
  return [
    ...ofModel,
    ['pretrained', pretrained],
    ['seed', seed],
    [imagesOfStep, model.batch_size * trainer.accumulate_grad_batches],
  ];
}
