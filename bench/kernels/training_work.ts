/** The work of training, from the sizes of a model. */
import type { Clip4StrConfiguration } from '../../model/configuration.js';
import { newtonSchulzUses } from './muon_work.js';
import {
  type BesideAttention,
  type Use,
  decoderLayerUses,
  imageEncoderUses,
  imageTokens,
  linear,
  memoryUse,
  rows,
  textEncoderUses,
} from './reading_work.js';
import type { HalfOperand, MatmulWork, Work } from './work.js';

/** Orders of the characters that each image is read in (`perm_num` of the presets). */
const permutations = 6;

/** The backward of some forward work, where all blocks are trained. */
function gradientsOf({ work, purpose, occurrences, of, besideAttention }: Use): Use[] {
  const use = (what: string, gradient: Work): Use => ({
    work: gradient,
    stage: 'training',
    purpose: `${purpose}${what}`,
    occurrences,
  });
  /** @param nameOf what an operand, or its gradient, is in the gradient's product */
  const beside = (nameOf: (half: HalfOperand) => HalfOperand): { besideAttention?: BesideAttention } =>
    besideAttention
      ? { besideAttention: { ...besideAttention, halves: besideAttention.halves.map(nameOf) } }
      : {};
  if (work.kernel === 'attention') return [use(', gradient', { ...work, kernel: 'attention_gradient' })];
  if (work.kernel === 'layernorm') return [use(', gradient', { ...work, kernel: 'layernorm_gradient' })];
  if (work.kernel === 'embedding') {
    return of === 'a frozen table' ? [] : [use(', gradient', { ...work, kernel: 'embedding_gradient' })];
  }
  if (work.kernel !== 'matmul') return [];
  const { rows: count, depth, columns, activation, rightTransposed } = work;
  const elements = count * columns;
  // In the memory order of the weight.
  const [height, width] = rightTransposed ? [columns, depth] : [depth, columns];
  const plain = { bias: false, rightTransposed: false } as const;
  return [
    ...(of === 'pixels'
      ? []
      : [
          {
            ...use(
              ', gradient of the operand',
              linear(count, columns, depth, { bias: false, rightTransposed: !rightTransposed }),
            ),
            ...beside((half) => (half === 'left' ? 'result' : 'left')),
          },
        ]),
    {
      ...use(', gradient of the weight', { ...linear(height, count, width, plain), leftTransposed: true }),
      ...beside((half) => ((half === 'left') === rightTransposed ? 'right' : 'left')),
    },
    ...(work.bias ? [use(', gradient of the bias', rows('column_sum', count, columns))] : []),
    ...(activation === 'none'
      ? []
      : [
          use(', activation', { kernel: activation, count: elements }),
          use(', gradient of the activation', { kernel: `${activation}_gradient`, count: elements }),
        ]),
  ];
}

/** How a model is trained. */
export interface TrainingRecipe {
  /** Whether elements of the decoders are dropped at random. */
  readonly dropped: boolean;
  /** How many parameters change. */
  readonly trained: number;
  /** Shapes of the matrices that Muon trains, all of the blocks unless it trains none. */
  readonly muonMatrices: readonly (readonly number[])[];
}

/** What training does beside the encoding of images, which reading has too. */
export function trainingUses(
  model: Clip4StrConfiguration,
  batch: number,
  { dropped, trained, muonMatrices }: TrainingRecipe,
): Use[] {
  const { width, classes, maxLabelLength } = model.visualDecoder;
  const positions = maxLabelLength + 1;
  const all = batch * permutations * positions;
  // What is dropped differs between permutations: they share no content then.
  const sharing = dropped ? 1 : permutations;
  const decoder = decoderLayerUses(model, 'training', (batch * permutations) / sharing, {
    queries: sharing * positions,
    content: positions,
    newContent: positions,
    occurrences: 2,
  });
  const decoding = decoder.filter(({ work }) => !dropped || work.kernel !== 'attention');
  // The visual branch reads a caption for each permutation.
  const texts = textEncoderUses(model, batch * permutations);
  const forward = [...imageEncoderUses(model, batch), ...texts, memoryUse(model, batch), ...decoding];
  const use = (purpose: string, work: Work, occurrences: number): Use => ({
    work,
    stage: 'training',
    purpose,
    occurrences,
  });
  const block = model.image.width * model.image.mlpWidth;
  const patches = model.image.width * 3 * model.image.patchSize[0] * model.image.patchSize[1];
  return [
    ...texts.map((own) => ({ ...own, stage: 'training' as const })),
    ...decoding,
    ...forward.flatMap(gradientsOf),
    ...(dropped ? dropoutUses(model, batch, positions) : []),
    use('decoder, loss', rows('cross_entropy', all, classes), 2),
    use('decoder, loss, gradient', rows('cross_entropy_gradient', all, classes), 2),
    use('decoder, sum of gradients', { kernel: 'add', count: all * width }, 2),
    use(
      'image encoder, copy of tokens',
      { kernel: 'copy', count: batch * imageTokens(model) * model.image.width },
      1,
    ),
    use('feed-forward weight, its copy in f16', { kernel: 'cast', count: block }, 2 * model.image.layers),
    use('gradients of a feed-forward weight, set to 0', { kernel: 'fill', count: block }, 1),
    use(
      'norm of gradients, feed-forward weight',
      { kernel: 'square_sum', count: block },
      2 * model.image.layers,
    ),
    use(
      'norm of the gradients, from the sums of each, all trained',
      { kernel: 'gradient_norm', count: trained },
      1,
    ),
    ...(muonMatrices.length === 0
      ? [use('optimizer, feed-forward weight', { kernel: 'adamw', count: block }, 2 * model.image.layers)]
      : [
          use('optimizer, weight of the patches', { kernel: 'adamw', count: patches }, 1),
          use(
            'optimizer Muon, feed-forward weight',
            { kernel: 'momentum', count: block },
            2 * model.image.layers,
          ),
          ...newtonSchulzUses(muonMatrices),
        ]),
    use('moving average, feed-forward weight', { kernel: 'lerp', count: block }, 2 * model.image.layers),
  ];
}

/**
 * What dropout adds: its own work, forward and backward; the products and softmax of attention, whose weights are dropped
 * too; and what is fused where nothing is dropped.
 */
function dropoutUses(model: Clip4StrConfiguration, batch: number, positions: number): Use[] {
  const { width, heads, mlpWidth } = model.visualDecoder;
  const all = batch * permutations * positions;
  const branches = 2;
  const use = (what: string, work: Work, times = 1): Use => ({
    work,
    stage: 'training',
    purpose: `decoder, ${what}`,
    occurrences: times * branches,
  });
  const dropout = (what: string, count: number, times = 1): Use =>
    use(`dropout and its gradient, ${what}`, { kernel: 'dropout', count }, 2 * times);
  /** @param memories that are attended to, each by an equal share of the queries */
  const attentionUses = (memories: number, keys: number, to: string): Use[] => {
    const queries = all / memories;
    const product = (
      [count, depth, columns]: readonly [number, number, number],
      options: Partial<MatmulWork> = {},
    ): MatmulWork => ({
      ...linear(count, depth, columns, { bias: false, rightTransposed: false }),
      batch: memories * heads,
      ...options,
    });
    const each = width / heads;
    const name = `attention to the ${to}`;
    return [
      use(`${name}, scores`, product([queries, each, keys], { rightTransposed: true })),
      use(`${name}, weights`, rows('softmax', all * heads, keys)),
      dropout(`of the weights of the ${name}`, all * heads * keys),
      use(`${name}, sum of values`, product([queries, keys, each])),
      use(`${name}, heads of a token brought together (here they lie so)`, {
        kernel: 'copy',
        count: all * width,
      }),
      use(`${name}, gradient of the weights`, product([queries, each, keys], { rightTransposed: true })),
      use(`${name}, gradient of the values`, product([keys, queries, each], { leftTransposed: true })),
      use(`${name}, gradient of the scores`, rows('softmax_gradient', all * heads, keys)),
      use(`${name}, gradient of the query`, product([queries, keys, each])),
      use(`${name}, gradient of the key`, product([keys, queries, each], { leftTransposed: true })),
    ];
  };
  return [
    ...attentionUses(batch * permutations, positions, 'text'),
    // As in reading, the cross branch's memory counts as the image's alone.
    ...attentionUses(batch, imageTokens(model), 'image'),
    dropout('of content, of queries, after both attentions and after the feed-forward', all * width, 5),
    dropout('within the feed-forward', all * mlpWidth),
    use('residuals, of both attentions and of the feed-forward', { kernel: 'add', count: all * width }, 3),
    use('mask of the attention to the text (here as large as the scores)', {
      kernel: 'add',
      count: all * heads * positions,
    }),
  ];
}
