import { type ModelConfiguration, finalDecoder } from './configuration.js';

/** Longest value that is taken over from the original file. */
const LONGEST_VALUE = 4096;

/**
 * A configuration as safetensors metadata under the original's hyper-parameter names, each value as JSON, so that the
 * file loads without a preset. Further hyper-parameters of the original file are kept.
 */
export function storedConfiguration(
  configuration: ModelConfiguration,
  original: Readonly<Record<string, unknown>>,
): Record<string, string> {
  const kept = Object.entries(original).flatMap(([name, value]): [string, string][] => {
    const json = isPlain(value) ? JSON.stringify(value) : undefined;
    return json === undefined || json.length > LONGEST_VALUE ? [] : [[name, json]];
  });
  const settled = Object.entries(hyperParameters(configuration)).map(([name, value]): [string, string] => [
    name,
    JSON.stringify(value),
  ]);
  // Readers of other programs look for this key to tell whose tensors these are.
  return { ...Object.fromEntries([...kept, ...settled]), format: 'pt' };
}

function hyperParameters(configuration: ModelConfiguration): Record<string, unknown> {
  const { imageSize: img_size, patchSize: patch_size, heads } = configuration.image;
  const image = { img_size, patch_size };
  if (configuration.family === 'clip') return image;
  const decoder = finalDecoder(configuration);
  const reader = {
    ...image,
    charset_train: configuration.charset,
    charset_test: configuration.testCharset,
    max_label_length: decoder.maxLabelLength,
    dec_num_heads: decoder.heads,
    decode_ar: configuration.decodeAutoregressive,
    refine_iters: configuration.refineIterations,
    normalization: configuration.normalization,
  };
  if (configuration.family === 'parseq') return { ...reader, enc_num_heads: heads };
  if (configuration.family === 'str_adapter') {
    const { adapter } = configuration;
    return {
      ...reader,
      adapter_type: adapter.type,
      ...('blocks' in adapter ? { block_ids: adapter.blocks } : {}),
    };
  }
  return {
    ...reader,
    context_length: configuration.text.contextLength,
    use_share_dim: configuration.useShareDim,
    clip_cls_eot_feature: configuration.clipClsEotFeature,
  };
}

function isPlain(value: unknown): boolean {
  return Array.isArray(value)
    ? value.every((item) => typeof item !== 'object')
    : typeof value !== 'object' && typeof value !== 'bigint';
}
