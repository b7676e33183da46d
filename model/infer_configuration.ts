import { differencesText } from '../weights/index.js';
import { resolveCharset } from './charset.js';
import {
  type ClipConfiguration,
  type Clip4StrConfiguration,
  type DecoderConfiguration,
  type ImageSize,
  type ModelConfiguration,
  type ParseqConfiguration,
  type RecognizerConfiguration,
  type StrAdapterConfiguration,
  readingLimits,
} from './configuration.js';
import { HyperParameters } from './hyper_parameters.js';
import { type Normalization, normalizations } from './image.js';
import { inferAdapter } from './infer_adapter.js';
import { checkedHeads, clipTowers, decoderOf, imageSizeOf, untold } from './infer_parts.js';
import { likelyDifferences } from './likely_shapes.js';
import { ParameterShapes, type ShapedParameters } from './parameter_shapes.js';
import { presetFor } from './preset_matching.js';
import { captionLength } from './presets.js';

/** A checkpoint as far as its configuration depends on it; parameters have their original names. */
export interface ConfigurationSource extends ShapedParameters {
  readonly family: ModelConfiguration['family'];
  /** Stored hyper-parameters under the original's names: `img_size`, `charset_train`, `dec_num_heads` and so on. */
  readonly configuration: Readonly<Record<string, unknown>>;
}

/** What a user settles; it goes before what the checkpoint records. */
export interface ConfigurationOverrides {
  /** Name of a preset that stands in for what the checkpoint does not record. */
  readonly preset?: string | undefined;
  readonly imageSize?: ImageSize | undefined;
  /** Heads of PARSeq's image encoder. */
  readonly encoderHeads?: number | undefined;
  readonly decoderHeads?: number | undefined;
  /** Numbers of CLIP's blocks whose inputs a ladder adapter takes (`block_ids`). */
  readonly ladderBlocks?: readonly number[] | undefined;
  /** Charset that the model was trained with: name or characters. */
  readonly charset?: string | undefined;
  readonly testCharset?: string | undefined;
  readonly contextLength?: number | undefined;
  readonly decodeAutoregressive?: boolean | undefined;
  readonly refineIterations?: number | undefined;
  readonly normalization?: Normalization | undefined;
  readonly useShareDim?: boolean | undefined;
  readonly clipClsEotFeature?: boolean | undefined;
}

/**
 * The configuration of a checkpoint's model. Dimensions come from the shapes; what these do not tell comes from the
 * overrides, else the stored hyper-parameters, else a preset of the same shapes. Nothing is guessed from a file name.
 *
 * @throws Error if the shapes contradict one another or what is stored, or if something is told nowhere; it also lists all
 *   parameters that are missing, unexpected or of another shape than the others agree on.
 */
export function inferConfiguration(
  source: ConfigurationSource,
  overrides: ConfigurationOverrides = {},
): ModelConfiguration {
  try {
    return inferFamily(source, overrides);
  } catch (error) {
    // One problem may hide others: what the file's tensors agree on tells those too.
    const differences = differencesText(likelyDifferences(source));
    if (differences === '' || !(error instanceof Error)) throw error;
    throw new Error(`${error.message} In all: ${differences}.`, { cause: error });
  }
}

function inferFamily(source: ConfigurationSource, overrides: ConfigurationOverrides): ModelConfiguration {
  switch (source.family) {
    case 'clip4str':
      return inferClip4Str(source, overrides);
    case 'parseq':
      return inferParseq(source, overrides);
    case 'str_adapter':
      return inferStrAdapter(source, overrides);
    case 'clip':
      return inferClip(source, overrides);
  }
}

function inferClip4Str(
  source: ConfigurationSource,
  overrides: ConfigurationOverrides,
): Clip4StrConfiguration {
  const shapes = new ParameterShapes(source);
  const stored = new HyperParameters(source.name, source.configuration);
  const preset = presetFor(source, overrides.preset);
  const clip = clipTowers(
    shapes.under('clip_model.'),
    overrides.imageSize ?? stored.imageSize('img_size'),
    overrides.contextLength ?? stored.integer('context_length', 1) ?? captionLength,
  );
  const presetHeads = preset?.family === 'clip4str' ? preset.crossDecoder.heads : undefined;
  const heads = overrides.decoderHeads ?? stored.integer('dec_num_heads', 1) ?? presetHeads;
  const visual = shapes.under('visual_decoder.');
  const cross = shapes.under('cross_decoder.');
  const labelLength = recordedLabelLength(stored);
  const visualDecoder = decoderOf(visual, visual, heads, labelLength);
  const crossDecoder = decoderOf(cross, cross, heads, labelLength);
  if (crossDecoder.width !== clip.embedWidth) {
    shapes.fail(
      `the cross-modal decoder is ${crossDecoder.width} wide, CLIP's features ${clip.embedWidth}; they must agree.`,
    );
  }
  if (visualDecoder.classes !== crossDecoder.classes) {
    shapes.fail(
      `visual_decoder.head has ${visualDecoder.classes} classes, cross_decoder.head ${crossDecoder.classes}; they must agree.`,
    );
  }
  if (visualDecoder.maxLabelLength !== crossDecoder.maxLabelLength) {
    const shapeOf = ({ maxLabelLength, width }: DecoderConfiguration) => `[1,${maxLabelLength + 1},${width}]`;
    shapes.fail(
      `visual_decoder.pos_queries is ${shapeOf(visualDecoder)}, cross_decoder.pos_queries ${shapeOf(crossDecoder)}; ` +
        'expected as many positions in both. Download or convert it again.',
    );
  }
  const featureWidth = (shared: boolean) => (shared ? clip.embedWidth : clip.image.width);
  const fitsShared = visualDecoder.width === featureWidth(true);
  const useShareDim = overrides.useShareDim ?? stored.boolean('use_share_dim') ?? fitsShared;
  if (visualDecoder.width !== featureWidth(useShareDim)) {
    shapes.fail(
      `the visual decoder is ${visualDecoder.width} wide; with use_share_dim ${useShareDim} it takes features of ` +
        `${featureWidth(useShareDim)}.`,
    );
  }
  return {
    family: 'clip4str',
    ...clip,
    visualDecoder,
    crossDecoder,
    useShareDim,
    clipClsEotFeature: overrides.clipClsEotFeature ?? stored.boolean('clip_cls_eot_feature') ?? false,
    ...readerSettings(shapes, stored, overrides, crossDecoder.classes - 1),
  };
}

function inferParseq(source: ConfigurationSource, overrides: ConfigurationOverrides): ParseqConfiguration {
  const shapes = new ParameterShapes(source);
  const stored = new HyperParameters(source.name, source.configuration);
  const found = presetFor(source, overrides.preset);
  const preset = found?.family === 'parseq' ? found : undefined;
  const encoder = shapes.under('encoder.');
  const { width, patchSize } = encoder.patchConvolution('patch_embed.proj.weight');
  const [patches] = encoder.batchedMatrix('pos_embed');
  const requestedSize = overrides.imageSize ?? stored.imageSize('img_size') ?? preset?.image.imageSize;
  const encoderHeads = overrides.encoderHeads ?? stored.integer('enc_num_heads', 1) ?? preset?.image.heads;
  const decoderHeads = overrides.decoderHeads ?? stored.integer('dec_num_heads', 1) ?? preset?.decoder.heads;
  if (encoderHeads === undefined || decoderHeads === undefined) {
    const heads = { enc_num_heads: encoderHeads, dec_num_heads: decoderHeads };
    untold(shapes, ...Object.entries(heads).flatMap(([key, count]) => (count === undefined ? [key] : [])));
  }
  const decoder = decoderOf(shapes, shapes.under('decoder.'), decoderHeads, recordedLabelLength(stored));
  if (decoder.width !== width)
    shapes.fail(`the decoder is ${decoder.width} wide, the encoder ${width}; they must agree.`);
  return {
    family: 'parseq',
    image: {
      kind: 'vit',
      imageSize: imageSizeOf(
        encoder,
        'pos_embed',
        'patch_embed.proj.weight',
        requestedSize,
        patchSize,
        patches,
      ),
      patchSize,
      width,
      layers: encoder.layers('blocks'),
      heads: checkedHeads(encoder, width, encoderHeads),
      mlpWidth: encoder.matrix('blocks.0.mlp.fc1.weight')[0],
      activation: 'gelu',
      layerNormEpsilon: 1e-6,
    },
    decoder,
    ...readerSettings(shapes, stored, overrides, decoder.classes - 1),
  };
}

function inferStrAdapter(
  source: ConfigurationSource,
  overrides: ConfigurationOverrides,
): StrAdapterConfiguration {
  const shapes = new ParameterShapes(source);
  const stored = new HyperParameters(source.name, source.configuration);
  // No preset has an adapter: this refuses one that is asked for.
  presetFor(source, overrides.preset);
  const clip = clipTowers(
    shapes.under('clip_model.'),
    overrides.imageSize ?? stored.imageSize('img_size'),
    undefined,
  );
  const heads = overrides.decoderHeads ?? stored.integer('dec_num_heads', 1);
  const decoder = decoderOf(shapes, shapes.under('decoder.'), heads, recordedLabelLength(stored));
  if (decoder.width !== clip.embedWidth) {
    shapes.fail(`the decoder is ${decoder.width} wide, CLIP's features ${clip.embedWidth}; they must agree.`);
  }
  return {
    family: 'str_adapter',
    ...clip,
    adapter: inferAdapter(shapes, stored, clip.image, decoder.heads, overrides.ladderBlocks),
    decoder,
    ...readerSettings(shapes, stored, overrides, decoder.classes - 1),
  };
}

function inferClip(source: ConfigurationSource, overrides: ConfigurationOverrides): ClipConfiguration {
  const stored = new HyperParameters(source.name, source.configuration);
  const requestedSize = overrides.imageSize ?? stored.imageSize('img_size');
  return {
    family: 'clip',
    ...clipTowers(new ParameterShapes(source), requestedSize, overrides.contextLength),
  };
}

function recordedLabelLength(stored: HyperParameters): number | undefined {
  return stored.integer('max_label_length', 1);
}

function readerSettings(
  shapes: ParameterShapes,
  stored: HyperParameters,
  overrides: ConfigurationOverrides,
  characters: number,
): Pick<
  RecognizerConfiguration,
  'charset' | 'testCharset' | 'decodeAutoregressive' | 'refineIterations' | 'normalization'
> {
  // Without a record, only the named charsets can be told by their length.
  const named = ['36', '62', '94'].find((name) => Number(name) === characters);
  const charset = resolveCharset(
    overrides.charset ?? stored.charset('charset_train') ?? named ?? untold(shapes, 'charset_train'),
  );
  const length = Array.from(charset).length;
  if (length !== characters) {
    const advice =
      named === undefined ? 'Give the charset that it was trained with.' : `Try charset ${named}.`;
    shapes.fail(`the charset has ${length} characters; the decoder's head predicts ${characters}. ${advice}`);
  }
  const lowerCase = resolveCharset('36');
  const usual = Array.from(lowerCase).every((character) => charset.includes(character)) ? lowerCase : charset;
  return {
    charset,
    testCharset: resolveCharset(overrides.testCharset ?? stored.charset('charset_test') ?? usual),
    decodeAutoregressive: overrides.decodeAutoregressive ?? stored.boolean('decode_ar') ?? true,
    refineIterations:
      overrides.refineIterations ?? stored.integer('refine_iters', 0, readingLimits.refineIterations) ?? 1,
    normalization: overrides.normalization ?? stored.oneOf('normalization', normalizations) ?? 'half',
  };
}
