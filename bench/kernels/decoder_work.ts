/** The work of the decoders, from the sizes of a model. */
import type { Clip4StrConfiguration } from '../../model/configuration.js';
import { imageTokens } from './encoder_work.js';
import { type Use, attention, linear, rows } from './use.js';
import type { Work } from './work.js';

export type DecoderStage = 'decoding' | 'refining' | 'training';

/** Both have a decoder: the visual branch, which looks at the image, and the cross branch, which looks at its caption too. */
export const branches = 2;

/** Tokens that the cross branch looks at: those of an image and of a caption. */
export function crossTokens(model: Clip4StrConfiguration): number {
  return imageTokens(model) + model.text.contextLength;
}

/** What a decoder's layer does for each image. */
interface DecoderPass {
  /** Characters that are asked for. */
  readonly queries: number;
  /** Characters that they may see. */
  readonly content: number;
  /** Those of them whose keys and values are not there yet. */
  readonly newContent: number;
  /** Captions of each image, of which each has an equal share of the queries. Default 1. */
  readonly captions?: number;
  /** Whether images ask alike, so that their queries of the text are {@link askingUses}. */
  readonly asksAlike: boolean;
  readonly occurrences: BranchCounts;
}

/** How often something is done in each branch. */
interface BranchCounts {
  readonly visual: number;
  readonly cross: number;
}

/** One layer's work, in each branch that does it. */
export function decoderLayerUses(
  model: Clip4StrConfiguration,
  stage: DecoderStage,
  batch: number,
  { queries, content, newContent, captions = 1, asksAlike, occurrences }: DecoderPass,
): Use[] {
  const { width, heads, mlpWidth, classes } = model.visualDecoder;
  const all = batch * queries;
  const added = batch * newContent;
  const asking = asksAlike ? 0 : 1;
  const use = (purpose: string, work: Work, times = 1, { visual, cross } = occurrences): Use => ({
    work,
    stage,
    purpose: `decoder, ${purpose}`,
    occurrences: times * (visual + cross),
  });
  const each = width / heads;
  const norm = (count: number, times: number): Use =>
    use('layernorm', rows('layernorm', count, width), times);
  const uses = [
    use('query', linear(all, width, width), 1 + asking),
    use('key and value', linear(added, width, 2 * width)),
    use('attention to the text', attention(batch, heads, [queries, content], each)),
    use('attention to the image', attention(batch, heads, [queries, imageTokens(model)], each), 1, {
      ...occurrences,
      cross: 0,
    }),
    use(
      'attention to the image and its caption',
      attention(batch * captions, heads, [queries / captions, crossTokens(model)], each),
      1,
      { ...occurrences, visual: 0 },
    ),
    use('attention output', linear(all, width, width, { residual: true }), 2),
    use('feed-forward in', linear(all, width, mlpWidth, { activation: 'gelu' })),
    use('feed-forward out', linear(all, mlpWidth, width, { residual: true })),
    ...(added === all ? [norm(all, 4 + asking)] : [norm(all, 3 + asking), norm(added, 1)]),
    use('head', linear(all, width, classes)),
    use('character embedding', { kernel: 'embedding', rows: added, tableRows: classes + 2, width }),
  ];
  return uses.filter((own) => own.occurrences > 0);
}

/** The queries of the text, where all images ask alike: made once for them. */
export function askingUses(
  model: Clip4StrConfiguration,
  stage: DecoderStage,
  queries: number,
  { visual, cross }: BranchCounts,
): Use[] {
  const { width } = model.visualDecoder;
  const use = (purpose: string, work: Work): Use => ({
    work,
    stage,
    purpose: `decoder, ${purpose} of what all images ask`,
    occurrences: visual + cross,
  });
  return [use('query', linear(queries, width, width)), use('layernorm', rows('layernorm', queries, width))];
}

/**
 * Keys and values of what decoders look at.
 * @param memory what it is, and its tokens
 */
export function memoryUse(
  { visualDecoder: { width } }: Clip4StrConfiguration,
  stage: DecoderStage,
  [memory, tokens]: readonly [string, number],
  occurrences: number,
): Use {
  return {
    work: linear(tokens, width, 2 * width),
    stage,
    purpose: `decoder, key and value of ${memory}`,
    occurrences,
  };
}
