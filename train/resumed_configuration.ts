/** What must stay as it was when a run goes on. */
import type { TrainingConfiguration } from './configuration_schema.js';

/** Options of the model that settle its weights and what they mean. */
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
]);

export interface ChangedOption {
  readonly option: string;
  readonly stored: string;
  readonly given: string;
}

/** The first option of the model itself that differs between a run's configuration and the one that it is to go on with. */
export function changedModelOption(
  stored: Pick<TrainingConfiguration, 'model'>,
  given: Pick<TrainingConfiguration, 'model'>,
): ChangedOption | undefined {
  const before = new Map<string, unknown>(Object.entries(stored.model));
  for (const [key, value] of Object.entries(given.model) as [string, unknown][]) {
    const [was, is] = [JSON.stringify(before.get(key)), JSON.stringify(value)];
    if (fixed.has(key) && was !== is) return { option: `model.${key}`, stored: was, given: is };
  }
  return undefined;
}
