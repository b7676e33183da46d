/** The work of the encoders, from the sizes of a model. */
import type { Clip4StrConfiguration } from '../../model/configuration.js';
import { type BesideAttention, type Use, attention, linear, rows } from './use.js';
import type { HalfOperand, Work } from './work.js';

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

/**
 * What the blocks of a transformer do, and the norms around them.
 * @param norms how many there are beside those of the blocks
 */
function blockUses(
  name: string,
  { width, layers, heads, mlpWidth }: Transformer,
  [batch, tokens]: readonly [number, number],
  { causal, norms }: { readonly causal: boolean; readonly norms: number },
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
    use('layernorm', rows('layernorm', all, width), 2 * layers + norms),
  ];
}

/** Whether it is one of CLIP's projections, `[width, embed width]` in checkpoints and in training. For reading they are turned. */
export function isProjection({ purpose }: Use): boolean {
  return purpose.endsWith(' encoder, projection');
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
    ...blockUses('image encoder', image, [batch, tokens], { causal: false, norms: 2 }),
    {
      ...encode,
      purpose: 'image encoder, projection',
      work: linear(batch * tokens, image.width, embedWidth, { bias: false }),
    },
  ];
}

/** Encoding captions, `times` over. */
export function textEncoderUses(
  { text, embedWidth }: Clip4StrConfiguration,
  captions: number,
  times = 1,
): Use[] {
  const { contextLength, vocabulary, width } = text;
  const all = captions * contextLength;
  const encode = { stage: 'encoding', occurrences: 1 } as const;
  const once: Use[] = [
    {
      ...encode,
      purpose: 'text encoder, token embedding',
      of: 'a frozen table',
      work: { kernel: 'embedding', rows: all, tableRows: vocabulary, width },
    },
    ...blockUses('text encoder', text, [captions, contextLength], { causal: true, norms: 1 }),
    {
      ...encode,
      purpose: 'text encoder, projection',
      work: linear(all, width, embedWidth, { bias: false }),
    },
  ];
  return once.map((use) => ({ ...use, occurrences: times * use.occurrences }));
}
