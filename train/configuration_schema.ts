/** Every option of a training run, by the original's names, and what each may be. Presets set all of them. */
import { z } from 'zod';
import { readingLimits, resolveCharset } from '../model/index.js';

// The message of a check is what would have been right: whoever reports an issue writes the option and its value before it.

function whole(least: number, most: number) {
  const error = `a whole number from ${least} to ${most}`;
  return z.int({ error }).min(least, { error }).max(most, { error });
}

function number(least: number, most: number) {
  const error = `a number from ${least} to ${most}`;
  return z.number({ error }).min(least, { error }).max(most, { error });
}

function oneOf<const T extends readonly (string | number)[]>(choices: T) {
  return z.literal(choices, { error: choices.join(' or ') });
}

function options<T extends z.ZodRawShape>(shape: T) {
  return z.strictObject(shape, { error: 'a group of options' });
}

const boolean = z.boolean({ error: 'true or false' });
const rate = number(1e-12, 1e3);
const side = whole(1, readingLimits.imageSide);
const size = z.tuple([side, side], { error: '[height, width] in pixels' });
const width = whole(1, 2 ** 16);
const path = z.string({ error: 'a path' }).min(1, { error: 'a path' });
const pathOrNone = path.nullable();
const paths = z.union([path, z.array(path)], { error: 'a path or a list of paths' });
const charset = z
  .string({ error: 'a charset: 36, 62, 94 or its characters in quotes' })
  .refine(isCharset, { error: 'a charset: 36, 62, 94 or its characters, each once' });

function isCharset(text: string): boolean {
  try {
    resolveCharset(text);
    return true;
  } catch {
    return false;
  }
}

/** What models of all kinds have. */
const everyModel = {
  img_size: size,
  patch_size: size,
  embed_dim: width,
  dec_num_heads: whole(1, 1024),
  dec_mlp_ratio: whole(1, 64),
  dec_depth: whole(1, 256),

  charset_train: charset,
  charset_test: charset,
  max_label_length: whole(1, readingLimits.labelLength),
  perm_num: whole(1, 1024),
  perm_forward: boolean,
  perm_mirrored: boolean,
  dropout: number(0, 0.99),
  decode_ar: boolean,
  refine_iters: whole(0, readingLimits.refineIterations),

  /** Images of one forward pass. */
  batch_size: whole(1, 2 ** 16),
  lr: rate,
  lr_scaling: oneOf(['clip4str', 'parseq', 'none']),
  warmup_pct: number(0, 1),
  anneal_strategy: oneOf(['cos', 'linear']),
  weight_decay: number(0, 100),
  betas: z.tuple([number(0, 0.999999), number(0, 0.999999)], { error: '[beta1, beta2]' }),
  eps: number(1e-16, 1),
  /** Rate at which Muon trains the matrices of the blocks, scaled as `lr` is; null leaves all to AdamW. */
  muon_lr: rate.nullable(),
};

/** Of models that stand on CLIP and have decoders of their own beside it. */
const onClip = {
  clip_pretrained: pathOrNone,
  coef_lr: number(0, 1e6),
  coef_wd: number(0, 1e6),
};

const vl4str = options({
  name: oneOf(['vl4str']),
  ...everyModel,
  ...onClip,
  enc_width: width,
  enc_depth: whole(1, 256),
  text_width: width,
  text_depth: whole(1, 256),
  context_length: whole(3, 77),
  use_share_dim: boolean,
  clip_cls_eot_feature: boolean,
  image_freeze_nlayer: whole(-1, 12),
  text_freeze_nlayer: whole(-1, 12),
  image_detach: boolean,
  cross_gt_context: boolean,
  cross_cloze_mask: boolean,
  cross_loss_w: number(0, 1e3),
  /** Share of the steps in which the visual branch trains alone, and its permutations there. */
  visual_first_pct: number(0, 1),
  visual_first_perm_num: whole(1, 1024),
  /** Whether the cross decoder starts as a copy of the visual one when that share is over. */
  cross_from_visual: boolean,
});

const parseq = options({
  name: oneOf(['parseq']),
  ...everyModel,
  enc_num_heads: whole(1, 1024),
  enc_mlp_ratio: whole(1, 64),
  enc_depth: whole(1, 256),
});

const strAdapter = options({
  name: oneOf(['str_adapter']),
  ...everyModel,
  ...onClip,
  adapter_type: oneOf(['identity', 'linear', 'attention', 'ladder', 'linear_ladder', 'ladder_pruning']),
  block_ids: z.array(whole(0, 255), { error: 'a list of block numbers' }).min(1).max(256),
  prune_reduction: whole(1, 1024),
});

/** Words rendered by the data threads as they are needed, beside those of `train_dir`. */
const synthetic = options({
  /** Images; 0 for none. The same ones come again in each epoch. */
  count: whole(0, 2 ** 28),
  seed: whole(0, Number.MAX_SAFE_INTEGER),
  /** Folders of fonts in place of those that come with the package. */
  fonts: paths,
  /** Text files with a word or phrase a line, and how much of all text comes from them. */
  words: paths,
  words_share: number(0, 1),
  /** Folder of images, parts of which become backgrounds. */
  backgrounds: pathOrNone,
});

const data = options({
  /** Folder with `train`, `val` and `test`. */
  root_dir: pathOrNone,
  /** Below `train` in it; several are joined, and one that is named twice counts twice. */
  train_dir: paths,
  synthetic,
  remove_whitespace: boolean,
  normalize_unicode: boolean,
  augment: boolean,
  num_workers: whole(0, 1024),
  /** Whether images are normalised with OpenAI's mean and deviation, else with 0.5 and 0.5. */
  openai_meanstd: boolean,
});

const trainer = options({
  /** The run ends with whichever comes first; -1 sets no end. */
  max_epochs: whole(-1, 1e6),
  max_steps: whole(-1, 1e9),
  accumulate_grad_batches: whole(1, 2 ** 16),
  gradient_clip_val: number(0, 1e9),
  /** 16 multiplies in f16 where the adapter can; 32 never does. */
  precision: oneOf([16, 32]),
  /** Whether a block's intermediate results are computed again in the backward pass, to save memory. */
  gradient_checkpointing: boolean,
  /** In optimizer steps, like all that follow. */
  val_check_interval: whole(1, 1e9),
  checkpoint_interval: whole(1, 1e9),
  /** How many checkpoints stay, beside the best. */
  checkpoints_kept: whole(1, 1e6),
});

const everyRun = {
  data,
  trainer,
  seed: whole(0, Number.MAX_SAFE_INTEGER),
  /** Checkpoint to train further. */
  pretrained: pathOrNone,
  /** Averaging of the weights over the last epochs, and the share of the run after which it begins. */
  swa: boolean,
  swa_epoch_start: number(0, 1),
};

/** The schema of a run, by the name of its model. */
export const runSchemas = {
  vl4str: options({ model: vl4str, ...everyRun }),
  parseq: options({ model: parseq, ...everyRun }),
  str_adapter: options({ model: strAdapter, ...everyRun }),
} as const;

export type ModelName = keyof typeof runSchemas;

export type Vl4StrConfiguration = z.infer<typeof runSchemas.vl4str>;
export type ParseqRunConfiguration = z.infer<typeof runSchemas.parseq>;
export type StrAdapterRunConfiguration = z.infer<typeof runSchemas.str_adapter>;

/** All options of a run; the model's kind is `model.name`. */
export type TrainingConfiguration = Vl4StrConfiguration | ParseqRunConfiguration | StrAdapterRunConfiguration;

/** The schema of each option under its dotted name, as `model.lr`. */
export function optionSchemas(schema: z.ZodObject): Map<string, z.ZodType> {
  const options = new Map<string, z.ZodType>();
  for (const [key, value] of Object.entries(schema.shape)) {
    if (value instanceof z.ZodObject) {
      for (const [inner, option] of optionSchemas(value)) options.set(`${key}.${inner}`, option);
    } else {
      options.set(key, value as z.ZodType);
    }
  }
  return options;
}
