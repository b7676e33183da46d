/** How the parameters of a model are trained: which, at what rate, with what weight decay, by which optimizer. */
import { type FreezingRules, isFrozen } from './freezing.js';

export interface ParameterGroup {
  readonly optimizer: 'adamw' | 'muon';
  readonly weightDecay: number;
  readonly maxLearningRate: number;
  /** In the order of the parameters given. */
  readonly names: readonly string[];
}

/** The kind of model, for the original groups each otherwise. */
export type GroupingRules =
  | { readonly model: 'vl4str'; readonly freezing: FreezingRules }
  | { readonly model: 'parseq' }
  | { readonly model: 'str_adapter'; readonly adapter: string };

export interface OptimizerRates {
  /** Of CLIP's parameters and of PARSeq's, scaled by the batch. */
  readonly learningRate: number;
  readonly weightDecay: number;
  /** Factors for the parameters that do not start from CLIP's (`coef_lr`, `coef_wd`); PARSeq has none. */
  readonly decoderRateFactor: number;
  readonly decoderDecayFactor: number;
  /** Trains the matrices of the blocks with Muon at this rate (scaled by the batch), the rest with AdamW. */
  readonly muonLearningRate?: number;
}

/**
 * The groups in the original's order: not decayed and decayed parameters of CLIP, then of the decoders; for PARSeq, which
 * has one rate, not decayed and decayed ones. Groups of Muon, decayed, follow where it is asked for. No group is left out
 * for being empty, except Muon's.
 *
 * Not decayed are biases, norms, scalars and all else of less than two dimensions, `pos_queries` and `text_embed`, and
 * PARSeq's `encoder.pos_embed`. An adapter trains at the decoder's rate unless it is a ladder of CLIP blocks; CLIP's own
 * parameters are in no group of it.
 *
 * @param shapes of all parameters, by original name
 */
export function parameterGroups(
  shapes: ReadonlyMap<string, readonly number[]>,
  rules: GroupingRules,
  rates: OptimizerRates,
): ParameterGroup[] {
  const groups = adamWGroups(shapes, rules, rates);
  return rates.muonLearningRate === undefined ? groups : withMuon(groups, shapes, rates.muonLearningRate);
}

function adamWGroups(
  shapes: ReadonlyMap<string, readonly number[]>,
  rules: GroupingRules,
  rates: OptimizerRates,
): ParameterGroup[] {
  const { learningRate, weightDecay } = rates;
  const trained = [...shapes.keys()].filter((name) => isTrained(name, rules));
  if (rules.model === 'parseq') return split(trained, shapes, learningRate, weightDecay);
  const startsFromClip = (name: string) =>
    rules.model === 'vl4str'
      ? name.startsWith('clip_model.')
      : name.startsWith('adapter.') && laddersOfClip.has(rules.adapter);
  return [
    ...split(trained.filter(startsFromClip), shapes, learningRate, weightDecay),
    ...split(
      trained.filter((name) => !startsFromClip(name)),
      shapes,
      learningRate * rates.decoderRateFactor,
      weightDecay * rates.decoderDecayFactor,
    ),
  ];
}

/** Adapters that are made of copies of CLIP's blocks. */
const laddersOfClip: ReadonlySet<string> = new Set(['ladder', 'ladder_pruning']);

function isTrained(name: string, rules: GroupingRules): boolean {
  switch (rules.model) {
    case 'vl4str':
      return !isFrozen(name, rules.freezing);
    case 'parseq':
      return true;
    case 'str_adapter':
      return !name.startsWith('clip_model.');
  }
}

/** The names without and with weight decay. */
function split(
  names: readonly string[],
  shapes: ReadonlyMap<string, readonly number[]>,
  maxLearningRate: number,
  weightDecay: number,
): ParameterGroup[] {
  const decays = (name: string) => shapes.get(name)!.length >= 2 && !embeddings.test(name);
  const group = (weightDecay: number, kept: (name: string) => boolean): ParameterGroup => ({
    optimizer: 'adamw',
    weightDecay,
    maxLearningRate,
    names: names.filter(kept),
  });
  return [group(0, (name) => !decays(name)), group(weightDecay, decays)];
}

/** Has two or more dimensions, yet no weight decay. */
const embeddings = /pos_queries|text_embed|^encoder\.pos_embed$/;

const blockMatrix = /\.(?:resblocks|blocks|layers)\.\d+\./;

/** Takes the matrices of transformer blocks out of the decayed groups, into groups of their own. */
function withMuon(
  groups: readonly ParameterGroup[],
  shapes: ReadonlyMap<string, readonly number[]>,
  maxLearningRate: number,
): ParameterGroup[] {
  const isForMuon = (name: string) => shapes.get(name)!.length === 2 && blockMatrix.test(name);
  const rest = groups.map((group) => ({ ...group, names: group.names.filter((name) => !isForMuon(name)) }));
  const muon = groups
    .map((group): ParameterGroup => ({
      ...group,
      optimizer: 'muon',
      maxLearningRate,
      names: group.names.filter(isForMuon),
    }))
    .filter(({ names }) => names.length > 0);
  return [...rest, ...muon];
}
