import type {
  AdapterConfiguration,
  ClipConfiguration,
  Clip4StrConfiguration,
  DecoderConfiguration,
  ImageEncoderConfiguration,
  LadderConfiguration,
  ModelConfiguration,
  ParseqConfiguration,
  StrAdapterConfiguration,
} from './configuration.js';

/** A parameter's name and shape. */
type Entry = readonly [name: string, shape: readonly number[]];

/**
 * Every parameter of a model under its original name, with its shape: CLIP4STR's as the original's state dict names them,
 * PARSeq's and the adapters' as their own, plain CLIP's as OpenAI's.
 */
export function expectedParameters(configuration: ModelConfiguration): Map<string, readonly number[]> {
  switch (configuration.family) {
    case 'clip4str':
      return new Map(clip4strEntries(configuration));
    case 'parseq':
      return new Map(parseqEntries(configuration));
    case 'str_adapter':
      return new Map(strAdapterEntries(configuration));
    case 'clip':
      return new Map(clipEntries(configuration));
  }
}

function clip4strEntries(configuration: Clip4StrConfiguration): Entry[] {
  return [
    ...prefixed('clip_model.', clipEntries(configuration)),
    ...prefixed('visual_decoder.', ownedDecoderEntries(configuration.visualDecoder)),
    ...prefixed('cross_decoder.', ownedDecoderEntries(configuration.crossDecoder)),
  ];
}

function parseqEntries({ image, decoder }: ParseqConfiguration): Entry[] {
  return [
    ...embeddingEntries(decoder),
    ...prefixed('encoder.', plainTransformerEntries(image)),
    ...prefixed('decoder.', decoderEntries(decoder)),
    ...linear('head', decoder.classes, decoder.width),
  ];
}

function strAdapterEntries(configuration: StrAdapterConfiguration): Entry[] {
  const { adapter, decoder } = configuration;
  return [
    ...embeddingEntries(decoder),
    ...prefixed('clip_model.', clipEntries(configuration)),
    ...prefixed('adapter.', adapterEntries(adapter, configuration)),
    ...prefixed('decoder.', decoderEntries(decoder)),
    ...linear('head', decoder.classes, decoder.width),
  ];
}

function adapterEntries(
  adapter: AdapterConfiguration,
  { image, embedWidth }: Pick<StrAdapterConfiguration, 'image' | 'embedWidth'>,
): Entry[] {
  switch (adapter.type) {
    case 'identity':
      return [];
    case 'linear':
      return bottleneckEntries(embedWidth, adapter.hiddenWidth);
    case 'attention':
      return prefixed('attn.', blockEntries({ width: embedWidth, mlpWidth: adapter.mlpWidth }));
    case 'ladder':
    case 'linear_ladder':
    case 'ladder_pruning':
      return [
        ['alpha', [adapter.blocks.length]],
        ['proj', [image.width, embedWidth]],
        ...numbered('resblocks', adapter.blocks.length, rungEntries(adapter, image.width)),
        ...norm('ln_post', image.width),
      ];
  }
}

/** A block of a ladder. */
function rungEntries(ladder: LadderConfiguration, width: number): Entry[] {
  return ladder.type === 'linear_ladder'
    ? bottleneckEntries(width, ladder.hiddenWidth)
    : blockEntries({ ...ladder, width });
}

function bottleneckEntries(width: number, hiddenWidth: number): Entry[] {
  return [
    ['fc.0.weight', [hiddenWidth, width]],
    ['fc.2.weight', [width, hiddenWidth]],
  ];
}

function clipEntries({
  image,
  text,
  embedWidth,
}: Pick<ClipConfiguration, 'image' | 'text' | 'embedWidth'>): Entry[] {
  return [
    ['visual.conv1.weight', [image.width, 3, ...image.patchSize]],
    ['positional_embedding', [text.positions, text.width]],
    ['text_projection', [text.width, embedWidth]],
    ['logit_scale', []],
    ['visual.class_embedding', [image.width]],
    ['visual.positional_embedding', [patchCount(image) + 1, image.width]],
    ['visual.proj', [image.width, embedWidth]],
    ...norm('visual.ln_pre', image.width),
    ...prefixed('visual.transformer.', clipBlockEntries(image)),
    ...norm('visual.ln_post', image.width),
    ...prefixed('transformer.', clipBlockEntries(text)),
    ['token_embedding.weight', [text.vocabulary, text.width]],
    ...norm('ln_final', text.width),
  ];
}

function clipBlockEntries({
  layers,
  ...sizes
}: {
  width: number;
  layers: number;
  mlpWidth: number;
}): Entry[] {
  return numbered('resblocks', layers, blockEntries(sizes));
}

/** CLIP's block; a pruned one attends in less than its width. */
function blockEntries({
  width,
  attentionWidth = width,
  mlpWidth,
}: {
  width: number;
  attentionWidth?: number;
  mlpWidth: number;
}): Entry[] {
  return [
    ...attention('attn', width, attentionWidth),
    ...norm('ln_1', width),
    ...linear('mlp.c_fc', mlpWidth, width),
    ...linear('mlp.c_proj', width, mlpWidth),
    ...norm('ln_2', width),
  ];
}

/** As timm's vision transformer names them. */
function plainTransformerEntries(image: ImageEncoderConfiguration): Entry[] {
  const { width, layers, mlpWidth, patchSize } = image;
  return [
    ['pos_embed', [1, patchCount(image), width]],
    ['patch_embed.proj.weight', [width, 3, ...patchSize]],
    ['patch_embed.proj.bias', [width]],
    ...numbered('blocks', layers, [
      ...norm('norm1', width),
      ...linear('attn.qkv', 3 * width, width),
      ...linear('attn.proj', width, width),
      ...norm('norm2', width),
      ...linear('mlp.fc1', mlpWidth, width),
      ...linear('mlp.fc2', width, mlpWidth),
    ]),
    ...norm('norm', width),
  ];
}

/** CLIP4STR's decoders own their embeddings and head; PARSeq keeps them beside the decoder. */
function ownedDecoderEntries(decoder: DecoderConfiguration): Entry[] {
  return [
    ...embeddingEntries(decoder),
    ...decoderEntries(decoder),
    ...linear('head', decoder.classes, decoder.width),
  ];
}

function embeddingEntries({ width, maxLabelLength, classes }: DecoderConfiguration): Entry[] {
  return [
    ['pos_queries', [1, maxLabelLength + 1, width]],
    // Begin and padding are embedded but never predicted.
    ['text_embed.embedding.weight', [classes + 2, width]],
  ];
}

function decoderEntries({ width, layers, mlpWidth }: DecoderConfiguration): Entry[] {
  return [
    ...numbered('layers', layers, [
      ...attention('self_attn', width),
      ...attention('cross_attn', width),
      ...linear('linear1', mlpWidth, width),
      ...linear('linear2', width, mlpWidth),
      ...['norm1', 'norm2', 'norm_q', 'norm_c'].flatMap((name) => norm(name, width)),
    ]),
    ...norm('norm', width),
  ];
}

function attention(name: string, width: number, attentionWidth = width): Entry[] {
  return [
    [`${name}.in_proj_weight`, [3 * attentionWidth, width]],
    [`${name}.in_proj_bias`, [3 * attentionWidth]],
    ...linear(`${name}.out_proj`, width, attentionWidth),
  ];
}

function linear(name: string, outputs: number, inputs: number): Entry[] {
  return [
    [`${name}.weight`, [outputs, inputs]],
    [`${name}.bias`, [outputs]],
  ];
}

function norm(name: string, width: number): Entry[] {
  return [
    [`${name}.weight`, [width]],
    [`${name}.bias`, [width]],
  ];
}

function numbered(name: string, layers: number, entries: readonly Entry[]): Entry[] {
  return Array.from({ length: layers }, (_, layer) => prefixed(`${name}.${layer}.`, entries)).flat();
}

function prefixed(prefix: string, entries: readonly Entry[]): Entry[] {
  return entries.map(([name, shape]) => [prefix + name, shape]);
}

function patchCount({ imageSize, patchSize }: ImageEncoderConfiguration): number {
  return (imageSize[0] / patchSize[0]) * (imageSize[1] / patchSize[1]);
}
