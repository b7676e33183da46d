/** Which model family and naming convention a checkpoint follows, and how its tensors become parameters. */
import type { Checkpoint } from './checkpoint.js';
import { CheckpointError, shownName } from './errors.js';
import { huggingFaceRecipes } from './names_hugging_face.js';
import type { Recipe } from './recipe.js';

export type Family = 'clip4str' | 'parseq' | 'str_adapter' | 'clip';
export type Convention =
  'clip4str' | 'parseq' | 'str_adapter' | 'openai-clip' | 'open-clip' | 'hugging-face-clip';

export interface NameMap {
  readonly family: Family;
  readonly convention: Convention;
  /** By canonical name. A stored tensor that no rule knows keeps its name, to be reported as unexpected. */
  readonly recipes: ReadonlyMap<string, Recipe>;
  readonly ignored: readonly string[];
}

/** Sizes that OpenAI's files keep as tensors; their presence also tells those files from OpenCLIP's. */
const SIZE_BUFFER = /(^|\.)(input_resolution|context_length|vocab_size)$/;
const OTHER_BUFFER = /(^|\.)(attn_mask|position_ids|num_batches_tracked)$/;
/** What training wrappers put before every name: DistributedDataParallel, and PARSeq's newer code. */
const WRAPPERS = ['module.', 'model.'];

/** @throws CheckpointError when the names belong to no known family. */
export function mapNames(checkpoint: Checkpoint): NameMap {
  const stored = [...checkpoint.tensors.keys()];
  const ignored = stored.filter((name) => SIZE_BUFFER.test(name) || OTHER_BUFFER.test(name));
  const names = unwrapped(stored.filter((name) => !SIZE_BUFFER.test(name) && !OTHER_BUFFER.test(name)));
  const has = (prefix: string): boolean => [...names.keys()].some((name) => name.startsWith(prefix));

  if (has('clip_model.') && has('visual_decoder.')) {
    return { family: 'clip4str', convention: 'clip4str', recipes: unchanged(names), ignored };
  }
  if (has('clip_model.') && has('decoder.') && has('text_embed.')) {
    return { family: 'str_adapter', convention: 'str_adapter', recipes: unchanged(names), ignored };
  }
  if (has('encoder.') && has('decoder.') && has('text_embed.')) {
    return { family: 'parseq', convention: 'parseq', recipes: unchanged(names), ignored };
  }
  if (has('vision_model.') || has('text_model.')) {
    const convention = 'hugging-face-clip';
    return { family: 'clip', convention, recipes: huggingFaceRecipes(names), ignored };
  }
  if (has('visual.conv1.') || has('transformer.resblocks.') || has('text.transformer.resblocks.')) {
    const sizes = stored.some((name) => SIZE_BUFFER.test(name));
    const convention = sizes || checkpoint.format === 'torchscript' ? 'openai-clip' : 'open-clip';
    return { family: 'clip', convention, recipes: unchanged(textTowerAtTop(names)), ignored };
  }
  throw new CheckpointError(
    checkpoint.name,
    `holds no CLIP4STR, PARSeq or CLIP model: its ${stored.length} tensors begin with ${stored.slice(0, 3).map(shownName).join(', ')}`,
  );
}

/** Stored names by the name without the wrapper that all of them share. */
function unwrapped(stored: readonly string[]): Map<string, string> {
  let names = stored.map((name): [string, string] => [name, name]);
  for (const wrapper of WRAPPERS) {
    if (names.length > 0 && names.every(([name]) => name.startsWith(wrapper))) {
      names = names.map(([name, original]) => [name.slice(wrapper.length), original]);
    }
  }
  return new Map(names);
}

/** OpenCLIP's newer models keep the text tower under `text.`, the original at the top level. */
function textTowerAtTop(names: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...names].map(([name, stored]) => [name.replace(/^text\./, ''), stored]));
}

function unchanged(names: ReadonlyMap<string, string>): Map<string, Recipe> {
  return new Map([...names].map(([name, stored]) => [name, { kind: 'stacked', stored: [stored] }]));
}
