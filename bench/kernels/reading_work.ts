/** The work of reading, from the sizes of a model. */
import { defaultClipRefineOptions } from '../../model/clip_refine.js';
import type { Clip4StrConfiguration } from '../../model/configuration.js';
import type { AttentionWork, HalfOperand, MatmulWork, RowWork, Work } from './work.js';

/** Work of a model, and what for. */
export interface Use {
  readonly work: Work;
  readonly stage: 'loading' | 'encoding' | 'decoding' | 'refining' | 'training';
  /** What it is for, as `image encoder, feed-forward in`. */
  readonly purpose: string;
  /** How often it occurs as a model is loaded, in a reading of a batch, or in a training step. */
  readonly occurrences: number;
  /** What a convolution multiplies, or a table that no preset trains: neither gets a gradient. Left out for all else. */
  readonly of?: 'pixels' | 'a frozen table';
  readonly besideAttention?: BesideAttention;
}

/** Of a product that gives or takes what attention does: what becomes f16 where units for matrices attend. */
export interface BesideAttention {
  /** Of the attention, and the width of its heads. */
  readonly queries: number;
  readonly width: number;
  readonly halves: readonly HalfOperand[];
}

type Linear = Partial<Pick<MatmulWork, 'activation' | 'bias' | 'residual' | 'rightTransposed'>>;

/** `x weightᵀ + bias`, unless the options say otherwise. */
export function linear(rows: number, depth: number, columns: number, options: Linear = {}): MatmulWork {
  return {
    kernel: 'matmul',
    batch: 1,
    rows,
    depth,
    columns,
    leftTransposed: false,
    rightTransposed: true,
    bias: true,
    activation: 'none',
    residual: false,
    ...options,
  };
}

function attention(
  batch: number,
  heads: number,
  [queries, keys]: readonly [number, number],
  width: number,
  causal = false,
): AttentionWork {
  return { kernel: 'attention', batch, heads, queries, keys, width, causal };
}

/** Work on `count` rows. */
export function rows(kernel: RowWork['kernel'], count: number, width: number): RowWork {
  return { kernel, rows: count, width };
}

/** Tokens of an image: its patches and the class token. */
export function imageTokens({ image }: Clip4StrConfiguration): number {
  const [height, width] = image.imageSize;
  return 1 + Math.floor(height / image.patchSize[0]) * Math.floor(width / image.patchSize[1]);
}

interface Transformer {
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly mlpWidth: number;
}

/** What the blocks of a transformer do. */
function blockUses(
  name: string,
  { width, layers, heads, mlpWidth }: Transformer,
  [batch, tokens]: readonly [number, number],
  causal: boolean,
): Use[] {
  const activation = 'quick_gelu';
  const all = batch * tokens;
  const use = (purpose: string, work: Work, occurrences = layers): Use => ({
    work,
    stage: 'encoding',
    purpose: `${name}, ${purpose}`,
    occurrences,
  });
  const beside = (half: HalfOperand): { besideAttention: BesideAttention } => ({
    besideAttention: { queries: tokens, width: width / heads, halves: [half] },
  });
  return [
    { ...use('query, key and value', linear(all, width, 3 * width)), ...beside('result') },
    use('attention', attention(batch, heads, [tokens, tokens], width / heads, causal)),
    { ...use('attention output', linear(all, width, width, { residual: true })), ...beside('left') },
    use('feed-forward in', linear(all, width, mlpWidth, { activation })),
    use('feed-forward out', linear(all, mlpWidth, width, { residual: true })),
    use('layernorm', rows('layernorm', all, width), 2 * layers + 1),
  ];
}

/** What loading for int8 does to weights. */
export function loadingUses({ image }: Clip4StrConfiguration): Use[] {
  return [
    {
      work: { kernel: 'quantize', count: image.width * image.mlpWidth },
      stage: 'loading',
      purpose: 'image encoder, feed-forward weight (--precision int8)',
      occurrences: 2 * image.layers,
    },
  ];
}

/** Encoding images. */
export function imageEncoderUses(model: Clip4StrConfiguration, batch: number): Use[] {
  const { image, embedWidth } = model;
  const tokens = imageTokens(model);
  const patch = 3 * image.patchSize[0] * image.patchSize[1];
  const encode = { stage: 'encoding', occurrences: 1 } as const;
  return [
    {
      ...encode,
      purpose: 'image encoder, patches',
      of: 'pixels',
      work: linear(batch * (tokens - 1), patch, image.width, { bias: false }),
    },
    ...blockUses('image encoder', image, [batch, tokens], false),
    {
      ...encode,
      purpose: 'image encoder, projection',
      work: linear(batch * tokens, image.width, embedWidth, { bias: false, rightTransposed: false }),
    },
  ];
}

/** Encoding captions, of which reading has one of each image. */
export function textEncoderUses({ text }: Clip4StrConfiguration, captions: number): Use[] {
  const { contextLength, vocabulary, width } = text;
  return [
    {
      stage: 'encoding',
      purpose: 'text encoder, token embedding',
      occurrences: 1,
      of: 'a frozen table',
      work: { kernel: 'embedding', rows: captions * contextLength, tableRows: vocabulary, width },
    },
    ...blockUses('text encoder', text, [captions, contextLength], true),
  ];
}

/** What a decoder's layer does for each image. */
interface DecoderPass {
  /** Characters that are asked for. */
  readonly queries: number;
  /** Characters that they may see. */
  readonly content: number;
  /** Those of them whose keys and values are not there yet. */
  readonly newContent: number;
  readonly occurrences: number;
}

/** One layer's work. */
export function decoderLayerUses(
  model: Clip4StrConfiguration,
  stage: 'decoding' | 'refining' | 'training',
  batch: number,
  { queries, content, newContent, occurrences }: DecoderPass,
): Use[] {
  const { width, heads, mlpWidth, classes } = model.visualDecoder;
  const all = batch * queries;
  const added = batch * newContent;
  const use = (purpose: string, work: Work, times = 1): Use => ({
    work,
    stage,
    purpose: `decoder, ${purpose}`,
    occurrences: times * occurrences,
  });
  return [
    use('query', linear(all, width, width), 2),
    use('key and value', linear(added, width, 2 * width)),
    use('attention to the text', attention(batch, heads, [queries, content], width / heads)),
    use('attention to the image', attention(batch, heads, [queries, imageTokens(model)], width / heads)),
    use('attention output', linear(all, width, width, { residual: true }), 2),
    use('feed-forward in', linear(all, width, mlpWidth, { activation: 'gelu' })),
    use('feed-forward out', linear(all, mlpWidth, width, { residual: true })),
    use('layernorm', rows('layernorm', all, width), 5),
    use('head', linear(all, width, classes)),
    use('choice of characters', rows('argmax', all, classes)),
    use('character embedding', { kernel: 'embedding', rows: added, tableRows: classes + 2, width }),
  ];
}

/** What decoders look at. */
export function memoryUse(model: Clip4StrConfiguration, batch: number): Use {
  const { width } = model.visualDecoder;
  return {
    work: linear(batch * imageTokens(model), width, 2 * width),
    stage: 'decoding',
    purpose: 'decoder, key and value of the image',
    occurrences: 2,
  };
}

/** Decoding and refining, in both branches. */
export function decoderUses(model: Clip4StrConfiguration, batch: number): Use[] {
  const positions = model.visualDecoder.maxLabelLength + 1;
  const { heads } = model.visualDecoder;
  // Content of half the length stands for all steps.
  const step = { queries: 1, content: positions >> 1, newContent: 1, occurrences: 2 * positions };
  const refinement = { queries: positions, content: positions, newContent: positions, occurrences: 2 };
  return [
    memoryUse(model, batch),
    ...decoderLayerUses(model, 'decoding', batch, step),
    ...decoderLayerUses(model, 'refining', batch, refinement),
    {
      work: rows('end_padding', batch, positions),
      stage: 'refining',
      purpose: 'decoder, what follows the end of a text',
      occurrences: 2,
    },
    {
      work: rows('mean', batch * positions * imageTokens(model), heads),
      stage: 'refining',
      purpose: 'decoder, where it looked: mean of the heads, after a copy that puts them last (--attention)',
      occurrences: 2,
    },
  ];
}

/** What is the refiner's alone: its encoders are plain CLIP's, much as the model's own. */
export function clipRefinerUses({ text, embedWidth }: Clip4StrConfiguration, images: number): Use[] {
  const { candidates } = defaultClipRefineOptions;
  return [
    {
      // Its texts have all of CLIP's positions, and each image has candidates of its own.
      work: { kernel: 'gather', rows: candidates, tableRows: candidates * text.positions, width: embedWidth },
      stage: 'refining',
      purpose: 'plain CLIP of an image and its candidates, features at the ends of texts (--clip-refine)',
      occurrences: images,
    },
  ];
}
