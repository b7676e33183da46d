/** The work that CLIP4STR gives the kernels, reading and in training, from the sizes of its models. */
import type { Clip4StrConfiguration } from '../../model/configuration.js';
import { presets } from '../../model/presets.js';
import type { AttentionWork, MatmulWork, RowWork, Work } from './work.js';

/** Work, and where it occurs. */
export interface UsedWork {
  readonly work: Work;
  readonly model: ModelName;
  /** Images at once. */
  readonly batch: number;
  readonly stage: 'encoding' | 'decoding' | 'refining' | 'training';
  /** What it is for, as `image encoder, feed-forward in`. */
  readonly purpose: string;
  /** How often it occurs in a reading of a batch, or in a training step with one permutation. */
  readonly occurrences: number;
}

/** The sizes of the model that comes with this package, as `train/presets/tiny.yaml` has them. */
const tiny: Clip4StrConfiguration = {
  ...presets.base,
  image: {
    ...presets.base.image,
    imageSize: [32, 128],
    patchSize: [8, 8],
    width: 128,
    layers: 5,
    heads: 2,
    mlpWidth: 512,
  },
  text: { ...presets.base.text, width: 64, layers: 2, heads: 1, mlpWidth: 256 },
  embedWidth: 128,
  visualDecoder: { ...presets.base.visualDecoder, width: 128, heads: 4, mlpWidth: 512 },
  crossDecoder: { ...presets.base.crossDecoder, width: 128, heads: 4, mlpWidth: 512 },
};

const models = { tiny, base: presets.base, large: presets.large } as const;

/** `square` is no model: products of square matrices, by which devices and libraries are compared. */
export type ModelName = keyof typeof models | 'square';

export const modelNames: readonly ModelName[] = [
  ...(Object.keys(models) as (keyof typeof models)[]),
  'square',
];

/** Those whose work is measured unless others are named. */
export const usualModels: readonly ModelName[] = modelNames.filter((name) => name !== 'square');

const squareSides = [768, 4096];

/** Everything that a model gives the kernels at a batch size, the work of each purpose once. */
export function modelWork(model: ModelName, batch: number): UsedWork[] {
  if (model === 'square') {
    return squareSides.map((side) => ({
      work: linear(side, side, side, { bias: false }),
      model,
      batch,
      stage: 'encoding',
      purpose: 'square matrices',
      occurrences: 1,
    }));
  }
  const uses = [
    ...encoderUses(models[model], batch),
    ...decoderUses(models[model], batch),
    ...trainingUses(models[model], batch),
  ];
  return uses.map((use) => ({ ...use, model, batch }));
}

type Use = Pick<UsedWork, 'work' | 'stage' | 'purpose' | 'occurrences'>;
type Linear = Partial<Pick<MatmulWork, 'activation' | 'bias' | 'residual' | 'rightTransposed'>>;

/** `x weightᵀ + bias`, unless the options say otherwise. */
function linear(rows: number, depth: number, columns: number, options: Linear = {}): MatmulWork {
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

function rows(kernel: RowWork['kernel'], count: number, width: number): RowWork {
  return { kernel, rows: count, width };
}

/** Tokens of an image: its patches and the class token. */
function imageTokens({ image }: Clip4StrConfiguration): number {
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
  return [
    use('query, key and value', linear(all, width, 3 * width)),
    use('attention', attention(batch, heads, [tokens, tokens], width / heads, causal)),
    use('attention output', linear(all, width, width, { residual: true })),
    use('feed-forward in', linear(all, width, mlpWidth, { activation })),
    use('feed-forward out', linear(all, mlpWidth, width, { residual: true })),
    use('layernorm', rows('layernorm', all, width), 2 * layers + 1),
  ];
}

function encoderUses(model: Clip4StrConfiguration, batch: number): Use[] {
  const { image, text, embedWidth } = model;
  const tokens = imageTokens(model);
  const patch = 3 * image.patchSize[0] * image.patchSize[1];
  const encode = { stage: 'encoding', occurrences: 1 } as const;
  const captionRows = batch * text.contextLength;
  return [
    {
      ...encode,
      purpose: 'image encoder, patches',
      work: linear(batch * (tokens - 1), patch, image.width, { bias: false }),
    },
    ...blockUses('image encoder', image, [batch, tokens], false),
    {
      ...encode,
      purpose: 'image encoder, projection',
      work: linear(batch * tokens, image.width, embedWidth, { bias: false, rightTransposed: false }),
    },
    {
      ...encode,
      purpose: 'text encoder, token embedding',
      work: { kernel: 'embedding', rows: captionRows, tableRows: text.vocabulary, width: text.width },
    },
    ...blockUses('text encoder', text, [batch, text.contextLength], true),
    {
      ...encode,
      purpose: 'text encoder, features at the ends of texts',
      work: { kernel: 'gather', rows: batch, tableRows: captionRows, width: embedWidth },
    },
  ];
}

/** One layer's work on `positions` queries of each image, of which `content` characters are known. */
function decoderLayerUses(
  model: Clip4StrConfiguration,
  stage: 'decoding' | 'refining',
  batch: number,
  [positions, content, occurrences]: readonly [number, number, number],
): Use[] {
  const { width, heads, mlpWidth, classes } = model.visualDecoder;
  const all = batch * positions;
  const use = (purpose: string, work: Work, times = 1): Use => ({
    work,
    stage,
    purpose: `decoder, ${purpose}`,
    occurrences: times * occurrences,
  });
  return [
    use('query', linear(all, width, width), 2),
    use('key and value', linear(all, width, 2 * width)),
    use('attention to the text', attention(batch, heads, [positions, content], width / heads)),
    use('attention to the image', attention(batch, heads, [positions, imageTokens(model)], width / heads)),
    use('attention output', linear(all, width, width, { residual: true }), 2),
    use('feed-forward in', linear(all, width, mlpWidth, { activation: 'gelu' })),
    use('feed-forward out', linear(all, mlpWidth, width, { residual: true })),
    use('layernorm', rows('layernorm', all, width), 5),
    use('head', linear(all, width, classes)),
    use('choice of characters', rows('argmax', all, classes)),
    use('character embedding', { kernel: 'embedding', rows: all, tableRows: classes + 2, width }),
  ];
}

function decoderUses(model: Clip4StrConfiguration, batch: number): Use[] {
  const positions = model.visualDecoder.maxLabelLength + 1;
  const { width, heads } = model.visualDecoder;
  return [
    {
      work: linear(batch * imageTokens(model), width, 2 * width),
      stage: 'decoding',
      purpose: 'decoder, key and value of the image',
      occurrences: 2,
    },
    // Content of half the length stands for all steps.
    ...decoderLayerUses(model, 'decoding', batch, [1, positions >> 1, 2 * positions]),
    ...decoderLayerUses(model, 'refining', batch, [positions, positions, 2]),
    // Heads come last when they are added up.
    {
      work: rows('mean', batch * positions * imageTokens(model), heads),
      stage: 'refining',
      purpose: 'decoder, where it looked: mean of the heads (--attention)',
      occurrences: 2,
    },
  ];
}

/** The backward of some forward work. */
function gradientsOf({ work, purpose, occurrences }: Use): Use[] {
  const use = (what: string, gradient: Work): Use => ({
    work: gradient,
    stage: 'training',
    purpose: `${purpose}${what}`,
    occurrences,
  });
  if (work.kernel === 'attention') return [use(', gradient', { ...work, kernel: 'attention_gradient' })];
  if (work.kernel === 'layernorm') return [use(', gradient', { ...work, kernel: 'layernorm_gradient' })];
  if (work.kernel === 'embedding') return [use(', gradient', { ...work, kernel: 'embedding_gradient' })];
  if (work.kernel !== 'matmul') return [];
  const plain = { bias: false, rightTransposed: false } as const;
  const { rows: count, depth, columns, activation } = work;
  const elements = count * columns;
  return [
    use(', gradient of the operand', linear(count, columns, depth, plain)),
    use(', gradient of the weight', { ...linear(columns, count, depth, plain), leftTransposed: true }),
    ...(work.bias ? [use(', gradient of the bias', rows('column_sum', count, columns))] : []),
    ...(activation === 'none'
      ? []
      : [
          use(', activation', { kernel: activation, count: elements }),
          use(', gradient of the activation', { kernel: `${activation}_gradient`, count: elements }),
        ]),
  ];
}

function trainingUses(model: Clip4StrConfiguration, batch: number): Use[] {
  const { width, heads, classes, maxLabelLength } = model.visualDecoder;
  const positions = maxLabelLength + 1;
  const all = batch * positions;
  const forward = [
    ...encoderUses(model, batch),
    ...decoderLayerUses(model, 'refining', batch, [positions, positions, 2]),
  ];
  const use = (purpose: string, work: Work, occurrences: number): Use => ({
    work,
    stage: 'training',
    purpose,
    occurrences,
  });
  const block = model.image.width * model.image.mlpWidth;
  return [
    ...forward.flatMap(gradientsOf),
    use('decoder, attention weights where they are dropped', rows('softmax', all * heads, positions), 2),
    use('decoder, attention weights, gradient', rows('softmax_gradient', all * heads, positions), 2),
    use('decoder, dropout of attention weights', { kernel: 'dropout', count: all * heads * positions }, 2),
    use('decoder, dropout after attention and feed-forward', { kernel: 'dropout', count: all * width }, 6),
    use('decoder, loss', rows('cross_entropy', all, classes), 2),
    use('decoder, loss, gradient', rows('cross_entropy_gradient', all, classes), 2),
    use('decoder, sum of gradients', { kernel: 'add', count: all * width }, 2),
    use(
      'image encoder, copy of tokens',
      { kernel: 'copy', count: batch * imageTokens(model) * model.image.width },
      1,
    ),
    use('gradients of a feed-forward weight, set to 0', { kernel: 'fill', count: block }, 1),
    use(
      'norm of gradients, feed-forward weight',
      { kernel: 'square_sum', count: block },
      2 * model.image.layers,
    ),
    use('optimizer, feed-forward weight', { kernel: 'adamw', count: block }, 2 * model.image.layers),
    use('optimizer Muon, feed-forward weight', { kernel: 'momentum', count: block }, 2 * model.image.layers),
    use('moving average, feed-forward weight', { kernel: 'lerp', count: block }, 2 * model.image.layers),
  ];
}
