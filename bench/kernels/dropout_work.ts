/** The work of dropout in training, from the sizes of a model. */
import type { Clip4StrConfiguration } from '../../model/configuration.js';
import { branches, crossTokens } from './decoder_work.js';
import { imageTokens } from './encoder_work.js';
import { type Use, linear, rows } from './use.js';
import type { MatmulWork, Work } from './work.js';

/**
 * What dropout adds: its own work, forward and backward; the products and softmax of attention, whose weights are dropped
 * too; and what is fused where nothing is dropped.
 */
export function dropoutUses(model: Clip4StrConfiguration, batch: number, permutations: number): Use[] {
  const { width, heads, mlpWidth, maxLabelLength } = model.visualDecoder;
  const positions = maxLabelLength + 1;
  const readings = batch * permutations;
  const all = readings * positions;
  const times =
    (occurrences: number) =>
    (what: string, work: Work): Use => ({
      work,
      stage: 'training',
      purpose: `decoder, ${what}`,
      occurrences,
    });
  const dropout = (what: string, count: number, occurrences: number): Use =>
    times(2 * occurrences)(`dropout and its gradient, ${what}`, { kernel: 'dropout', count });
  /**
   * @param memories that are attended to, each by an equal share of the queries
   * @param occurrences in how many branches
   */
  const attentionUses = (
    to: string,
    [memories, keys]: readonly [number, number],
    occurrences: number,
  ): Use[] => {
    const use = times(occurrences);
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
      dropout(`of the weights of the ${name}`, all * heads * keys, occurrences),
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
    ...attentionUses('text', [readings, positions], branches),
    ...attentionUses('image', [batch, imageTokens(model)], 1),
    ...attentionUses('image and its caption', [readings, crossTokens(model)], 1),
    dropout(
      'of content, of queries, after both attentions and after the feed-forward',
      all * width,
      5 * branches,
    ),
    dropout('within the feed-forward', all * mlpWidth, branches),
    times(3 * branches)('residuals, of both attentions and of the feed-forward', {
      kernel: 'add',
      count: all * width,
    }),
    times(branches)('mask of the attention to the text (here as large as the scores)', {
      kernel: 'add',
      count: all * heads * positions,
    }),
  ];
}
