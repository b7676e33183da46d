import { resolveCharset } from './charset.js';
import type { Clip4StrConfiguration, DecoderConfiguration, ParseqConfiguration } from './configuration.js';

const readerDefaults = {
  charset: resolveCharset('94'),
  testCharset: resolveCharset('36'),
  decodeAutoregressive: true,
  refineIterations: 1,
  normalization: 'half',
} as const;

/** Width of a head in both of CLIP's transformers, whatever their size. */
export const clipHeadWidth = 64;
/** Tokens of a caption in CLIP4STR. */
export const captionLength = 16;
/** Rows of CLIP's token and text position embeddings, whatever its size. */
export const clipVocabulary = 49408;
export const clipTextPositions = 77;

interface TransformerSize {
  readonly width: number;
  readonly layers: number;
}

function clip4str(
  patch: number,
  image: TransformerSize,
  text: TransformerSize,
  embedWidth: number,
): Clip4StrConfiguration {
  const decoder = decoderOf(embedWidth, 8);
  return {
    family: 'clip4str',
    ...readerDefaults,
    image: {
      kind: 'clip',
      imageSize: [224, 224],
      patchSize: [patch, patch],
      ...image,
      heads: image.width / clipHeadWidth,
      mlpWidth: 4 * image.width,
      activation: 'quick_gelu',
      layerNormEpsilon: 1e-5,
    },
    text: {
      vocabulary: clipVocabulary,
      contextLength: captionLength,
      positions: clipTextPositions,
      ...text,
      heads: text.width / clipHeadWidth,
      mlpWidth: 4 * text.width,
    },
    embedWidth,
    visualDecoder: decoder,
    crossDecoder: decoder,
    useShareDim: true,
    clipClsEotFeature: false,
  };
}

function parseq(
  width: number,
  heads: { encoder: number; decoder: number },
  images: Pick<ParseqConfiguration['image'], 'imageSize' | 'patchSize'> = {
    imageSize: [32, 128],
    patchSize: [4, 8],
  },
): ParseqConfiguration {
  return {
    family: 'parseq',
    ...readerDefaults,
    image: {
      kind: 'vit',
      ...images,
      width,
      layers: 12,
      heads: heads.encoder,
      mlpWidth: 4 * width,
      activation: 'gelu',
      layerNormEpsilon: 1e-6,
    },
    decoder: decoderOf(width, heads.decoder),
  };
}

function decoderOf(width: number, heads: number): DecoderConfiguration {
  return { width, layers: 1, heads, mlpWidth: 4 * width, maxLabelLength: 25, classes: 95 };
}

/**
 * The published models, from the originals' configuration files; they stand in for what a checkpoint does not tell. All of
 * CLIP4STR's decoders have 8 heads, whatever their width.
 */
export const presets = {
  base: clip4str(16, { width: 768, layers: 12 }, { width: 512, layers: 12 }, 512),
  base32: clip4str(32, { width: 768, layers: 12 }, { width: 512, layers: 12 }, 512),
  large: clip4str(14, { width: 1024, layers: 24 }, { width: 768, layers: 12 }, 768),
  huge: clip4str(14, { width: 1280, layers: 32 }, { width: 1024, layers: 24 }, 1024),
  parseq: parseq(384, { encoder: 6, decoder: 12 }),
  'parseq-tiny': parseq(192, { encoder: 3, decoder: 6 }),
  'parseq-patch16-224': parseq(
    384,
    { encoder: 6, decoder: 12 },
    { imageSize: [224, 224], patchSize: [16, 16] },
  ),
} as const;

export type PresetName = keyof typeof presets;

export const presetNames = Object.keys(presets) as readonly PresetName[];

/** @throws Error if there is no preset of that name. */
export function presetOf(name: string): Clip4StrConfiguration | ParseqConfiguration {
  const known = presetNames.find((preset) => preset === name);
  if (known === undefined) throw new Error(`preset ${name}: expected one of ${presetNames.join(', ')}.`);
  return presets[known];
}
