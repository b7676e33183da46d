/**
 * The CLIP adapters of the original: small networks that fit a frozen CLIP's image features to a decoder. Linear: Gao et
 * al., CLIP-Adapter, 2021. Ladders: Sung et al., LST, 2022. Shares and widths are those of the original's `str_adapter`.
 */
import {
  type Tensor,
  add,
  layerNorm,
  linear,
  matmul,
  multiply,
  relu,
  scale,
  sigmoid,
  subtract,
} from '../engine/index.js';
import type { AdapterConfiguration, ImageEncoderConfiguration } from './configuration.js';
import type { Parameters } from './parameters.js';
import { clipBlockNames, transformerBlock } from './transformer.js';

/** Shares of what adapters compute in their results; the rest is what went into them. */
const linearShare = 0.2;
const linearRungShare = 0.5;
const attentionShare = 0.5;

/** Divides `alpha` before the sigmoid that makes gates of it. */
const gateTemperature = 0.1;

/** What CLIP computed of images. */
export interface ClipImageFeatures {
  /** `[batch, 1 + patches, embed width]`. */
  readonly projected: Tensor;
  /** What went into each block that a ladder takes from, by its number: `[batch, 1 + patches, width]`. */
  readonly blockInputs: ReadonlyMap<number, Tensor>;
}

/**
 * Image features as an adapter has them.
 * @param image CLIP's image encoder
 * @param recompute see `BlockOptions`
 * @returns of the shape of the projected features
 */
export function adaptFeatures(
  { projected, blockInputs }: ClipImageFeatures,
  parameters: Parameters,
  adapter: AdapterConfiguration,
  image: ImageEncoderConfiguration,
  recompute = false,
): Tensor {
  const block = (x: Tensor, name: string, heads: number): Tensor => {
    const { activation, layerNormEpsilon: epsilon } = image;
    const options = { heads, activation, epsilon, causal: false, recompute };
    return transformerBlock(x, parameters, clipBlockNames(name), options);
  };
  return projected.device.scope(() => {
    switch (adapter.type) {
      case 'identity':
        return projected;
      case 'linear':
        return blend(projected, bottleneck(projected, parameters, 'adapter'), linearShare);
      case 'attention':
        return blend(projected, block(projected, 'adapter.attn', adapter.heads), attentionShare);
      case 'ladder':
      case 'linear_ladder':
      case 'ladder_pruning': {
        const rung = (x: Tensor, index: number): Tensor => {
          const name = `adapter.resblocks.${index}`;
          return adapter.type === 'linear_ladder'
            ? blend(x, bottleneck(x, parameters, name), linearRungShare)
            : block(x, name, image.heads);
        };
        const gates = sigmoid(scale(parameters.get('adapter.alpha'), 1 / gateTemperature));
        const inputs = adapter.blocks.map((number) => blockInputs.get(number)!);
        const climbed = climb(inputs, gates, rung);
        return mix(gates.slice(0, 0, 1), projected, project(climbed, parameters, image));
      }
    }
  });
}

/** The ladder's own last normalisation and projection. */
function project(
  climbed: Tensor,
  parameters: Parameters,
  { layerNormEpsilon }: ImageEncoderConfiguration,
): Tensor {
  const [weight, bias] = ['weight', 'bias'].map((part) => parameters.get(`adapter.ln_post.${part}`));
  const normalized = layerNorm(climbed, weight!, bias!, layerNormEpsilon);
  return matmul(normalized, parameters.get('adapter.proj'));
}

/**
 * Through the ladder's own blocks; each but the first takes a mixture of CLIP's tokens and those of the one before.
 * @param inputs of CLIP's blocks
 * @param rung a block of the ladder, by its number
 */
function climb(inputs: readonly Tensor[], gates: Tensor, rung: (x: Tensor, index: number) => Tensor): Tensor {
  const [first, ...others] = inputs;
  return others.reduce(
    (x, input, i) => rung(mix(gates.slice(0, i + 1, i + 2), input, x), i + 1),
    rung(first!, 0),
  );
}

/** Down to the hidden width and up again, with a ReLU after each. */
function bottleneck(x: Tensor, parameters: Parameters, prefix: string): Tensor {
  const [down, up] = ['fc.0', 'fc.2'].map((layer) => parameters.get(`${prefix}.${layer}.weight`));
  return relu(linear(relu(linear(x, down!)), up!));
}

/** `share` of what was computed of `x`, and `x` for the rest. */
function blend(x: Tensor, computed: Tensor, share: number): Tensor {
  return add(scale(computed, share), scale(x, 1 - share));
}

/** `gate` of the one and `1 - gate` of the other; `gate` is `[1]`. */
function mix(gate: Tensor, one: Tensor, other: Tensor): Tensor {
  return add(other, multiply(gate, subtract(one, other)));
}
