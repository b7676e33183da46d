/** Random weights that a training from scratch starts with, drawn as the originals draw theirs. */
import { RandomGenerator } from '../engine/index.js';
import {
  type Clip4StrConfiguration,
  type RecognizerConfiguration,
  expectedParameters,
} from '../model/index.js';
import type { ParameterSource } from '../weights/index.js';
import { parameterSource } from './parameter_source.js';

/** How the values of one parameter are drawn. */
type Distribution =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'normal'; readonly deviation: number }
  | { readonly kind: 'uniform'; readonly bound: number };

const constant = (value: number): Distribution => ({ kind: 'constant', value });
const normal = (deviation: number): Distribution => ({ kind: 'normal', deviation });
const uniform = (bound: number): Distribution => ({ kind: 'uniform', bound });

/** Streams of the seed below this number are for other purposes. */
const firstStream = 1024;

/** PARSeq's deviation for all that is not an attention's input; it is cut only 100 deviations out. */
const decoderDeviation = 0.02;
/** CLIP's temperature of 0.07 at the start. */
const initialLogitScale = Math.log(1 / 0.07);

/**
 * Weights of a model that has learnt nothing: CLIP's towers as OpenAI's code initialises them, decoders, adapters and
 * PARSeq's encoder as PARSeq's. Each parameter has random numbers of its own, so any can be read at any time.
 * @param seed whole number from 0 to 2^53 - 1
 */
export function initialWeights(configuration: RecognizerConfiguration, seed: number): ParameterSource {
  const shapes = expectedParameters(configuration);
  const streams = new Map([...shapes.keys()].map((name, index) => [name, firstStream + index]));
  return parameterSource('random weights', configuration.family, shapes, async (name, shape) =>
    draw(
      distributionOf(name, shape, configuration),
      shape.reduce((count, size) => count * size, 1),
      new RandomGenerator(seed, streams.get(name)),
    ),
  );
}

function draw(distribution: Distribution, count: number, random: RandomGenerator): Float32Array {
  const values = new Float32Array(count);
  switch (distribution.kind) {
    case 'constant':
      return values.fill(distribution.value);
    case 'uniform':
      return values.map(() => distribution.bound * (2 * random.next() - 1));
    case 'normal':
      return values.map(() => distribution.deviation * standardNormal(random));
  }
}

/** Box and Muller's transform; the first number is from (0, 1]. */
function standardNormal(random: RandomGenerator): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

function distributionOf(
  name: string,
  shape: readonly number[],
  configuration: RecognizerConfiguration,
): Distribution {
  if (isNorm(name)) return constant(name.endsWith('.weight') ? 1 : 0);
  // PyTorch's attention starts like this everywhere but in CLIP's text tower.
  const attentionInput = name.endsWith('in_proj_bias')
    ? constant(0)
    : name.endsWith('in_proj_weight')
      ? uniform(Math.sqrt(6 / (shape[0]! + shape[1]!)))
      : undefined;
  if (configuration.family !== 'parseq' && name.startsWith('clip_model.')) {
    return clipDistribution(name.slice('clip_model.'.length), shape, configuration, attentionInput);
  }
  if (attentionInput) return attentionInput;
  if (configuration.family === 'parseq' && name.startsWith('encoder.patch_embed.')) {
    return byFanIn(configuration.image.patchSize[0] * configuration.image.patchSize[1] * 3);
  }
  // A ladder's gates start half open.
  return name.endsWith('.bias') || name === 'adapter.alpha' ? constant(0) : normal(decoderDeviation);
}

function clipDistribution(
  name: string,
  shape: readonly number[],
  { image, text }: Pick<Clip4StrConfiguration, 'image' | 'text'>,
  attentionInput: Distribution | undefined,
): Distribution {
  const visual = name.startsWith('visual.');
  const block = /resblocks\.\d+\.(.+)$/.exec(name)?.[1];
  if (block !== undefined) {
    const { width, layers, mlpWidth } = visual ? image : text;
    if (block === 'attn.out_proj.bias') return constant(0);
    const inputs = block.startsWith('mlp.c_proj') ? mlpWidth : width;
    if (visual || block.endsWith('bias')) return attentionInput ?? byFanIn(inputs);
    const residual = 1 / Math.sqrt(2 * layers * width);
    switch (block) {
      case 'attn.in_proj_weight':
        return normal(1 / Math.sqrt(width));
      case 'mlp.c_fc.weight':
        return normal(1 / Math.sqrt(2 * width));
      default:
        return normal(residual);
    }
  }
  switch (name) {
    case 'logit_scale':
      return constant(initialLogitScale);
    case 'token_embedding.weight':
      return normal(0.02);
    case 'positional_embedding':
      return normal(0.01);
    case 'text_projection':
      return normal(1 / Math.sqrt(text.width));
    case 'visual.conv1.weight':
      return byFanIn(shape.slice(1).reduce((count, size) => count * size, 1));
    default:
      return normal(1 / Math.sqrt(image.width));
  }
}

/** PyTorch's default for linear layers and convolutions, and for their biases. */
function byFanIn(inputs: number): Distribution {
  return uniform(1 / Math.sqrt(inputs));
}

function isNorm(name: string): boolean {
  return /(?:^|\.)(?:norm\w*|ln_\w+)\.(?:weight|bias)$/.test(name);
}
