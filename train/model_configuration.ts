/** The model that a training configuration describes. */
import type {
  AdapterConfiguration,
  ClipConfiguration,
  Clip4StrConfiguration,
  DecoderConfiguration,
  ImageEncoderConfiguration,
  ParseqConfiguration,
  StrAdapterConfiguration,
} from '../model/index.js';
import { resolveCharset } from '../model/index.js';
import { clipHeadWidth, clipTextPositions, clipVocabulary } from '../model/presets.js';
import type {
  ParseqRunConfiguration,
  StrAdapterRunConfiguration,
  TrainingConfiguration,
  Vl4StrConfiguration,
} from './configuration_schema.js';

export function clip4strConfiguration({ model, data }: Vl4StrConfiguration): Clip4StrConfiguration {
  return {
    family: 'clip4str',
    ...readerSettings(model, data),
    image: {
      kind: 'clip',
      imageSize: model.img_size,
      patchSize: model.patch_size,
      width: model.enc_width,
      layers: model.enc_depth,
      heads: model.enc_width / clipHeadWidth,
      mlpWidth: 4 * model.enc_width,
      activation: 'quick_gelu',
      layerNormEpsilon: 1e-5,
    },
    text: {
      vocabulary: clipVocabulary,
      contextLength: model.context_length,
      positions: clipTextPositions,
      width: model.text_width,
      layers: model.text_depth,
      heads: model.text_width / clipHeadWidth,
      mlpWidth: 4 * model.text_width,
    },
    embedWidth: model.embed_dim,
    visualDecoder: decoderOf(model, model.use_share_dim ? model.embed_dim : model.enc_width),
    crossDecoder: decoderOf(model, model.embed_dim),
    useShareDim: model.use_share_dim,
    clipClsEotFeature: model.clip_cls_eot_feature,
  };
}

export function parseqConfiguration({ model, data }: ParseqRunConfiguration): ParseqConfiguration {
  const image: ImageEncoderConfiguration = {
    kind: 'vit',
    imageSize: model.img_size,
    patchSize: model.patch_size,
    width: model.embed_dim,
    layers: model.enc_depth,
    heads: model.enc_num_heads,
    mlpWidth: model.enc_mlp_ratio * model.embed_dim,
    activation: 'gelu',
    layerNormEpsilon: 1e-6,
  };
  return {
    family: 'parseq',
    ...readerSettings(model, data),
    image,
    decoder: decoderOf(model, model.embed_dim),
  };
}

/**
 * @param clip of the weights that the run starts from: all sizes but the decoder's are theirs
 * @throws Error if they have no such blocks or do not divide into the decoder's heads
 */
export function strAdapterConfiguration(
  { model, data }: StrAdapterRunConfiguration,
  { image, text, embedWidth }: Omit<ClipConfiguration, 'family'>,
): StrAdapterConfiguration {
  const missing = model.block_ids.find((block) => block >= image.layers);
  if (model.adapter_type.includes('ladder') && missing !== undefined) {
    throw new Error(
      `model.block_ids has ${missing}; expected numbers below ${image.layers}, the blocks of CLIP's image encoder.`,
    );
  }
  if (embedWidth % model.dec_num_heads !== 0) {
    throw new Error(
      `model.dec_num_heads is ${model.dec_num_heads}; expected a divisor of ${embedWidth}, the width of CLIP's features.`,
    );
  }
  return {
    family: 'str_adapter',
    ...readerSettings(model, data),
    image,
    text,
    embedWidth,
    adapter: adapterOf(model, image.width, embedWidth),
    decoder: decoderOf(model, embedWidth),
  };
}

/** @param width of CLIP's blocks */
function adapterOf(
  model: StrAdapterRunConfiguration['model'],
  width: number,
  embedWidth: number,
): AdapterConfiguration {
  const { adapter_type: type, block_ids: blocks } = model;
  switch (type) {
    case 'identity':
      return { type };
    case 'linear':
      return { type, hiddenWidth: Math.floor(embedWidth / 2) };
    case 'attention':
      return { type, heads: model.dec_num_heads, mlpWidth: 4 * embedWidth };
    case 'linear_ladder':
      return { type, blocks, hiddenWidth: Math.floor(width / 4) };
    case 'ladder':
      return { type, blocks, attentionWidth: width, mlpWidth: 4 * width };
    case 'ladder_pruning': {
      const attentionWidth = width / model.prune_reduction;
      return { type, blocks, attentionWidth, mlpWidth: 4 * attentionWidth };
    }
  }
}

function readerSettings(model: TrainingConfiguration['model'], data: TrainingConfiguration['data']) {
  return {
    charset: resolveCharset(model.charset_train),
    testCharset: resolveCharset(model.charset_test),
    decodeAutoregressive: model.decode_ar,
    refineIterations: model.refine_iters,
    normalization: data.openai_meanstd ? 'clip' : 'half',
  } as const;
}

function decoderOf(model: TrainingConfiguration['model'], width: number): DecoderConfiguration {
  return {
    width,
    layers: model.dec_depth,
    heads: model.dec_num_heads,
    mlpWidth: model.dec_mlp_ratio * width,
    maxLabelLength: model.max_label_length,
    classes: Array.from(resolveCharset(model.charset_train)).length + 1,
  };
}
