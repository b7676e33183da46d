/** The model that a training configuration describes. */
import type {
  Clip4StrConfiguration,
  DecoderConfiguration,
  ImageEncoderConfiguration,
  ParseqConfiguration,
} from '../model/index.js';
import { resolveCharset } from '../model/index.js';
import { clipHeadWidth, clipTextPositions, clipVocabulary } from '../model/presets.js';
import type {
  ParseqRunConfiguration,
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
