/** The work of reading beside the encoders', from the sizes of a model. */
import { defaultClipRefineOptions } from '../../model/clip_refine.js';
import type { Clip4StrConfiguration } from '../../model/configuration.js';
import { type DecoderStage, askingUses, crossTokens, decoderLayerUses, memoryUse } from './decoder_work.js';
import { imageTokens } from './encoder_work.js';
import { type Use, rows } from './use.js';

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

/**
 * Decoding and refining. The visual branch reads step by step; the cross branch passes over its reading, which is right
 * more often than not, and both branches pass over their own in refinements.
 */
export function decoderUses(model: Clip4StrConfiguration, batch: number): Use[] {
  const { heads, maxLabelLength, classes } = model.visualDecoder;
  const positions = maxLabelLength + 1;
  const alike = { asksAlike: true } as const;
  const refinements = model.refineIterations;
  const counts = {
    begin: { visual: 1, cross: 0 },
    steps: { visual: positions, cross: 0 },
    passes: { visual: refinements, cross: 1 + refinements },
  };
  // Content of half the length stands for all steps.
  const step = { queries: 1, content: positions >> 1, newContent: 1, occurrences: counts.steps, ...alike };
  const pass = {
    ...{ queries: positions, content: positions, newContent: positions, occurrences: counts.passes },
    ...alike,
  };
  const passes = counts.passes.visual + counts.passes.cross;
  const choice = (stage: DecoderStage, count: number, occurrences: number): Use => ({
    work: rows('argmax', count, classes),
    stage,
    purpose: 'decoder, choice of characters',
    occurrences,
  });
  return [
    memoryUse(model, 'decoding', ['the image', batch * imageTokens(model)], 1),
    // Again for the caption of each refinement.
    memoryUse(model, 'decoding', ['the image and its caption', batch * crossTokens(model)], 1 + refinements),
    ...askingUses(model, 'decoding', positions, counts.begin),
    ...decoderLayerUses(model, 'decoding', batch, step),
    choice('decoding', batch, positions),
    ...askingUses(model, 'refining', positions, counts.passes),
    ...decoderLayerUses(model, 'refining', batch, pass),
    choice('refining', batch * positions, passes),
    {
      work: rows('end_padding', batch, positions),
      stage: 'refining',
      purpose: 'decoder, what follows the end of a text',
      occurrences: passes,
    },
    {
      work: { ...rows('column_sum', heads, positions * crossTokens(model)), sums: batch },
      stage: 'refining',
      purpose: 'decoder, where it looked: sum of the heads (--attention)',
      occurrences: refinements,
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
    {
      work: rows('mean', candidates, embedWidth),
      stage: 'refining',
      purpose: 'plain CLIP of an image and its candidates, lengths of features (here a mean; --clip-refine)',
      occurrences: images,
    },
  ];
}
