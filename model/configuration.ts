import type { Normalization } from './image.js';

/** What a file or a caller may ask for at most, so that reading ends. */
export const readingLimits = {
  /** Passes over the whole text after the first. */
  refineIterations: 32,
  /** Characters of a text. */
  labelLength: 1024,
  /** Height or width of a model's images in pixels. */
  imageSide: 4096,
  /** Blocks of a transformer, or layers of a decoder. */
  layers: 256,
} as const;

/** Sizes of an image, or of a patch of it: `[height, width]` in pixels. */
export type ImageSize = readonly [height: number, width: number];

/** A vision transformer: CLIP's, with a class token, or PARSeq's plain one, without. */
export interface ImageEncoderConfiguration {
  readonly kind: 'clip' | 'vit';
  readonly imageSize: ImageSize;
  readonly patchSize: ImageSize;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly mlpWidth: number;
  readonly activation: 'quick_gelu' | 'gelu';
  readonly layerNormEpsilon: number;
}

/** CLIP's text transformer: QuickGELU, layer norms with epsilon 1e-5. */
export interface TextEncoderConfiguration {
  /** Rows of the token embedding. */
  readonly vocabulary: number;
  /** Tokens that a text is given to the encoder with; CLIP4STR uses 16 of the positions. */
  readonly contextLength: number;
  /** Rows of the positional embedding. */
  readonly positions: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly mlpWidth: number;
}

/** PARSeq's two-stream decoder: exact GELU, layer norms with epsilon 1e-5. */
export interface DecoderConfiguration {
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly mlpWidth: number;
  /** Characters at most; there is one position more, for the end token. */
  readonly maxLabelLength: number;
  /** Characters of the charset, and the end token. */
  readonly classes: number;
}

/** What all models that read have in common. */
interface ReaderConfiguration {
  /** Characters in the order of their ids. */
  readonly charset: string;
  /** Charset that captions and compared texts are brought into. */
  readonly testCharset: string;
  readonly decodeAutoregressive: boolean;
  readonly refineIterations: number;
  readonly normalization: Normalization;
}

export interface Clip4StrConfiguration extends ReaderConfiguration {
  readonly family: 'clip4str';
  readonly image: ImageEncoderConfiguration;
  readonly text: TextEncoderConfiguration;
  /** Width that CLIP projects images and texts to. */
  readonly embedWidth: number;
  readonly visualDecoder: DecoderConfiguration;
  readonly crossDecoder: DecoderConfiguration;
  /** Whether the visual branch works on projected image features; else on those before the projection. */
  readonly useShareDim: boolean;
  /** Whether each side gives its class or end-of-text feature alone instead of those of all tokens. */
  readonly clipClsEotFeature: boolean;
}

export interface ParseqConfiguration extends ReaderConfiguration {
  readonly family: 'parseq';
  readonly image: ImageEncoderConfiguration;
  readonly decoder: DecoderConfiguration;
}

/** Kinds of adapters, by the original's names. */
export const adapterTypes = [
  'identity',
  'linear',
  'attention',
  'ladder',
  'linear_ladder',
  'ladder_pruning',
] as const;

export type AdapterType = (typeof adapterTypes)[number];

/** What stands between CLIP's image features and the decoder. */
export type AdapterConfiguration =
  | { readonly type: 'identity' }
  /** Two layers without bias, on the projected features. */
  | { readonly type: 'linear'; readonly hiddenWidth: number }
  /** A transformer block on the projected features. */
  | { readonly type: 'attention'; readonly heads: number; readonly mlpWidth: number }
  | LadderConfiguration;

/** A network beside CLIP's that takes what goes into some of its blocks. */
export type LadderConfiguration = {
  /** Numbers of CLIP's blocks whose inputs it takes, one for each of its own blocks. */
  readonly blocks: readonly number[];
} & (
  | { readonly type: 'linear_ladder'; readonly hiddenWidth: number }
  | {
      readonly type: 'ladder' | 'ladder_pruning';
      /** Width of all heads together: CLIP's, or less where the blocks are pruned. */
      readonly attentionWidth: number;
      readonly mlpWidth: number;
    }
);

/** CLIP's image encoder, an adapter and PARSeq's decoder. CLIP's text encoder is in the checkpoint, but has no part in reading. */
export interface StrAdapterConfiguration extends ReaderConfiguration {
  readonly family: 'str_adapter';
  readonly image: ImageEncoderConfiguration;
  readonly text: TextEncoderConfiguration;
  /** Width that CLIP projects images and texts to, and of the decoder. */
  readonly embedWidth: number;
  readonly adapter: AdapterConfiguration;
  readonly decoder: DecoderConfiguration;
}

/** Plain CLIP: image-text similarity. */
export interface ClipConfiguration {
  readonly family: 'clip';
  readonly image: ImageEncoderConfiguration;
  readonly text: TextEncoderConfiguration;
  readonly embedWidth: number;
}

/** Of models that read. */
export type RecognizerConfiguration = Clip4StrConfiguration | ParseqConfiguration | StrAdapterConfiguration;

export type ModelConfiguration = RecognizerConfiguration | ClipConfiguration;

/** The decoder that a text is read with at the end; one of the visual branch has the same positions and heads. */
export function finalDecoder(configuration: RecognizerConfiguration): DecoderConfiguration {
  return 'decoder' in configuration ? configuration.decoder : configuration.crossDecoder;
}
