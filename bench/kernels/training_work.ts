/** The work of training, from the sizes of a model. */
import type { Clip4StrConfiguration } from '../../model/configuration.js';
import { askingUses, branches, decoderLayerUses, memoryUse } from './decoder_work.js';
import { dropoutUses } from './dropout_work.js';
import { imageEncoderUses, imageTokens, isProjection, textEncoderUses } from './encoder_work.js';
import { type MatrixShapes, newtonSchulzUses } from './muon_work.js';
import { type BesideAttention, type Use, linear, rows } from './use.js';
import type { HalfOperand, Work } from './work.js';

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
    return of ? [] : [use(', gradient', { ...work, kernel: 'embedding_gradient' })];
  }
  if (work.kernel !== 'matmul') return [];
  const { rows: count, depth, columns, activation, rightTransposed } = work;
  const elements = count * columns;
  // In the memory order of the weight.
  const [height, width] = rightTransposed ? [columns, depth] : [depth, columns];
  const plain = { bias: false, rightTransposed: false } as const;
  return [
    ...(of
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
  /** Orders of the characters that each image is read in. */
  readonly permutations: number;
  /** How many parameters change. */
  readonly trained: number;
  /** Shapes of the matrices that Muon trains, by group of parameters: all of the blocks unless it trains none. */
  readonly muonGroups: readonly MatrixShapes[];
}

/** What training does beside the encoding of images, which reading has too. */
export function trainingUses(
  model: Clip4StrConfiguration,
  batch: number,
  { dropped, permutations, trained, muonGroups }: TrainingRecipe,
): Use[] {
  const { image, text, visualDecoder } = model;
  const { width, classes, maxLabelLength } = visualDecoder;
  const positions = maxLabelLength + 1;
  const readings = batch * permutations;
  const all = readings * positions;
  const tokens = batch * imageTokens(model);
  const images = imageEncoderUses(model, batch).map(asTrained);
  // The visual branch reads a caption for each permutation.
  const texts = textEncoderUses(model, readings).map(asTrained);
  const memories = [
    memoryUse(model, 'training', ['the image', tokens], 1),
    // The cross branch trains no image encoder (`image_detach` of the presets).
    {
      ...memoryUse(model, 'training', ['the image, for its captions', tokens], 1),
      of: 'detached features' as const,
    },
    memoryUse(model, 'training', ['the captions', readings * text.contextLength], 1),
  ];
  const decoding = trainedDecoderUses(model, batch, permutations, dropped);
  const use = (purpose: string, work: Work, occurrences: number): Use => ({
    work,
    stage: 'training',
    purpose,
    occurrences,
  });
  const block = image.width * image.mlpWidth;
  const blocks = 2 * image.layers;
  const patches = image.width * 3 * image.patchSize[0] * image.patchSize[1];
  return [
    // Others are as in reading.
    ...images.filter((use) => isFused(use) || isProjection(use)).map(apart),
    ...[...texts, ...memories, ...decoding].map(apart),
    ...[...images, ...texts, ...memories, ...decoding].flatMap(gradientsOf),
    ...(dropped ? dropoutUses(model, batch, permutations) : []),
    use('decoder, choice of characters for captions', rows('argmax', all, classes), 1),
    use('decoder, loss', rows('cross_entropy', all, classes), branches),
    use('decoder, loss, gradient', rows('cross_entropy_gradient', all, classes), branches),
    use('decoder, sum of gradients', { kernel: 'add', count: all * width }, (dropped ? 3 : 2) * branches),
    use('image encoder, sum of gradients', { kernel: 'add', count: tokens * image.width }, blocks),
    use(
      'text encoder, sum of gradients',
      { kernel: 'add', count: readings * text.contextLength * text.width },
      2 * text.layers,
    ),
    use('image encoder, copy of tokens', { kernel: 'copy', count: tokens * image.width }, 1),
    use(
      'decoder, key and value of the image, a copy for each caption',
      { kernel: 'copy', count: permutations * tokens * 2 * width },
      1,
    ),
    use(
      'decoder, gradient of these, added up',
      {
        ...rows('column_sum', permutations, imageTokens(model) * 2 * width),
        sums: batch,
      },
      1,
    ),
    use('feed-forward weight, its copy in f16', { kernel: 'cast', count: block }, blocks),
    use(
      'decoder, gradient of a weight of whose parts some come twice, set to 0',
      { kernel: 'fill', count: 3 * width * width },
      1,
    ),
    use(
      'norm of gradients, feed-forward weight (here with the sum of its parts)',
      { kernel: 'square_sum', count: block },
      blocks,
    ),
    use(
      'norm of the gradients, from sums of their squares (here one for each that is trained)',
      { kernel: 'gradient_norm', count: trained },
      1,
    ),
    ...(muonGroups.length === 0
      ? [use('optimizer, feed-forward weight', { kernel: 'adamw', count: block }, blocks)]
      : [
          use('optimizer, weight of the patches', { kernel: 'adamw', count: patches }, 1),
          use('optimizer Muon, feed-forward weight', { kernel: 'momentum', count: block }, blocks),
          ...newtonSchulzUses(muonGroups),
        ]),
    use('moving average, feed-forward weight', { kernel: 'lerp', count: block }, blocks),
  ];
}

/** What is done in both decoders, the way there. */
function trainedDecoderUses(
  model: Clip4StrConfiguration,
  batch: number,
  permutations: number,
  dropped: boolean,
): Use[] {
  const positions = model.visualDecoder.maxLabelLength + 1;
  const occurrences = { visual: 1, cross: 1 };
  const pass = { content: positions, newContent: positions, occurrences };
  if (!dropped) {
    const queries = permutations * positions;
    const shared = { ...pass, queries, captions: permutations, asksAlike: true };
    return [
      ...askingUses(model, 'training', queries, occurrences),
      ...decoderLayerUses(model, 'training', batch, shared),
    ];
  }
  // What is dropped differs between permutations: they share neither queries nor content then.
  const alone = { ...pass, queries: positions, asksAlike: false };
  return decoderLayerUses(model, 'training', batch * permutations, alone).flatMap((own) => {
    if (own.work.kernel === 'attention') return [];
    // What is added to is dropped before.
    return own.work.kernel === 'matmul' ? [{ ...own, work: { ...own.work, residual: false } }] : [own];
  });
}

function isFused({ work }: Use): boolean {
  return work.kernel === 'matmul' && work.activation !== 'none';
}

/** Projections lie as in checkpoints. */
function asTrained(use: Use): Use {
  return isProjection(use) && use.work.kernel === 'matmul'
    ? { ...use, work: { ...use.work, rightTransposed: false } }
    : use;
}

/** A product whose activation is work of its own, since its gradient needs what went into it. */
function apart(use: Use): Use {
  const stage = 'training';
  return use.work.kernel === 'matmul'
    ? { ...use, stage, work: { ...use.work, activation: 'none' } }
    : { ...use, stage };
}
