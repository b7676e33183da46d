/**
 * The file that a reference is: a safetensors file with what the original PyTorch code computed from some images, stage
 * by stage. `README.md` beside this file tells it in full; `export.py` writes it.
 *
 * Tensors, each with the images along its first axis; all but `images` may be missing:
 *
 * | tensor | shape | |
 * | --- | --- | --- |
 * | `images` | `[n, 3, height, width]` | normalised pixels |
 * | `memory` | `[n, tokens, width]` | image features that the (visual) decoder looks at |
 * | `visual_logits` | `[n, positions, classes]` | CLIP4STR: the visual branch's first reading |
 * | `caption_tokens_k` | `[n, context length]` | CLIP4STR: CLIP's ids of the captions, before and after k refinements |
 * | `text_features_k` | `[n, context length or 1, width]` | CLIP4STR: their projected features |
 * | `cross_logits` | `[n, positions, classes]` | CLIP4STR: the cross branch's first reading |
 * | `visual_refined_logits_k`, `cross_refined_logits_k` | `[n, positions, classes]` | CLIP4STR: the k-th refinement, from 1 |
 * | `first_logits`, `refined_logits_k` | `[n, positions, classes]` | models of one branch |
 * | `logits` | `[n, positions, classes]` | the result |
 *
 * Positions that were not computed are NaN in all classes. Metadata: see {@link ReferenceMetadata}; each value is the JSON
 * of a value.
 */
import { z } from 'zod';
import { readingLimits } from '../../model/index.js';

/** Metadata of a reference. Whatever is missing is taken to be as the model has it, `stopping` as `independent`. */
export interface ReferenceMetadata {
  /** Whether the characters were read one after another. */
  readonly decode_ar?: boolean | undefined;
  /** Passes over the whole text after the first. */
  readonly refine_iters?: number | undefined;
  /** `independent`: every position was computed (`max_length` given). `batch`: the loop ended with the batch's texts. */
  readonly stopping?: 'independent' | 'batch' | undefined;
  /** Images that were computed together; needed where they stopped together. */
  readonly batch_size?: number | undefined;
  /** Characters at most, where that is less than the model's. */
  readonly max_label_length?: number | undefined;
  /** Characters that captions are brought into. */
  readonly charset_test?: string | undefined;
  /** What was read from each image. */
  readonly texts?: readonly string[] | undefined;
  /** What the visual branch read at last. */
  readonly visual_texts?: readonly string[] | undefined;
  /** Names of the images. */
  readonly files?: readonly string[] | undefined;
  /** Name of the checkpoint's file. */
  readonly checkpoint?: string | undefined;
  /** What computed it: torch, python, the commit of the repository. */
  readonly versions?: Readonly<Record<string, string>> | undefined;
}

const texts = z.array(z.string());

/** What each key of the metadata must be, and how messages say it. */
export const metadataSchemas: {
  readonly [Key in keyof ReferenceMetadata]-?: {
    readonly schema: z.ZodType<NonNullable<ReferenceMetadata[Key]>>;
    readonly expected: string;
  };
} = {
  decode_ar: { schema: z.boolean(), expected: 'true or false' },
  refine_iters: {
    schema: z.int().min(0).max(readingLimits.refineIterations),
    expected: `a whole number from 0 to ${readingLimits.refineIterations}`,
  },
  stopping: { schema: z.enum(['independent', 'batch']), expected: '"independent" or "batch"' },
  batch_size: { schema: z.int().min(1).max(65536), expected: 'a whole number from 1 to 65536' },
  max_label_length: { schema: z.int().min(1).max(65536), expected: 'a whole number from 1 on' },
  charset_test: { schema: z.string().min(1), expected: 'characters, as a JSON string' },
  texts: { schema: texts, expected: 'a list of texts' },
  visual_texts: { schema: texts, expected: 'a list of texts' },
  files: { schema: texts, expected: 'a list of names' },
  checkpoint: { schema: z.string(), expected: 'a name' },
  versions: { schema: z.record(z.string(), z.string()), expected: 'an object of texts' },
};

/**
 * What a stage gives for each image: `features` (tokens by channels), `tokens` (ids), or logits (positions by classes), of
 * which `steps` were read one after another and `logits` all at once.
 */
export type StageKind = 'features' | 'tokens' | 'steps' | 'logits';

/** A stage of reading; its tensor bears its name. */
export interface Stage {
  readonly name: string;
  readonly kind: StageKind;
}

/** The stages of CLIP4STR's reading, or of a model of one branch, in the order they are computed. */
export function stagesOf(twoBranches: boolean, refineIterations: number, autoregressive: boolean): Stage[] {
  const passes = Array.from({ length: refineIterations }, (_, index) => index + 1);
  const first = autoregressive ? 'steps' : 'logits';
  const features = (name: string): Stage => ({ name, kind: 'features' });
  const logits = (name: string, kind: 'steps' | 'logits' = 'logits'): Stage => ({ name, kind });
  const captions = (pass: number): Stage[] => [
    { name: `caption_tokens_${pass}`, kind: 'tokens' },
    features(`text_features_${pass}`),
  ];
  const between = twoBranches
    ? [
        logits('visual_logits', first),
        ...captions(0),
        logits('cross_logits', 'steps'),
        ...passes.flatMap((pass) => [
          logits(`visual_refined_logits_${pass}`),
          ...captions(pass),
          logits(`cross_refined_logits_${pass}`),
        ]),
      ]
    : [logits('first_logits', first), ...passes.map((pass) => logits(`refined_logits_${pass}`))];
  // Without refinement the result is the reading step by step.
  const last = refineIterations === 0 ? (twoBranches ? 'steps' : first) : 'logits';
  return [features('memory'), ...between, logits('logits', last)];
}

/** The stage of the visual branch's reading after `pass` refinements. */
export function visualStage(pass: number): string {
  return pass === 0 ? 'visual_logits' : `visual_refined_logits_${pass}`;
}
