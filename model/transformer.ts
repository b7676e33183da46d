import { type Tensor, attendsInHalves, attention, checkpoint, layerNorm, linear } from '../engine/index.js';
import type { Parameters } from './parameters.js';

/** Names of a block's parameters, which CLIP and the plain ViT spell differently. */
export interface BlockNames {
  readonly norm1: string;
  readonly attentionInput: readonly [weight: string, bias: string];
  readonly attentionOutput: string;
  readonly norm2: string;
  readonly expand: string;
  readonly contract: string;
}

/** CLIP's `ResidualAttentionBlock`. */
export function clipBlockNames(prefix: string): BlockNames {
  return {
    norm1: `${prefix}.ln_1`,
    attentionInput: [`${prefix}.attn.in_proj_weight`, `${prefix}.attn.in_proj_bias`],
    attentionOutput: `${prefix}.attn.out_proj`,
    norm2: `${prefix}.ln_2`,
    expand: `${prefix}.mlp.c_fc`,
    contract: `${prefix}.mlp.c_proj`,
  };
}

/** timm's ViT block, as PARSeq's encoder has it. */
export function vitBlockNames(prefix: string): BlockNames {
  return {
    norm1: `${prefix}.norm1`,
    attentionInput: [`${prefix}.attn.qkv.weight`, `${prefix}.attn.qkv.bias`],
    attentionOutput: `${prefix}.attn.proj`,
    norm2: `${prefix}.norm2`,
    expand: `${prefix}.mlp.fc1`,
    contract: `${prefix}.mlp.fc2`,
  };
}

export interface BlockOptions {
  readonly heads: number;
  readonly activation: 'quick_gelu' | 'gelu';
  readonly epsilon: number;
  readonly causal: boolean;
  /** Whether gradients compute the block again instead of keeping what they need of it. */
  readonly recompute?: boolean;
}

/**
 * One pre-norm transformer block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.
 * @param x `[batch, tokens, width]` f32
 * @returns the same shape
 */
export function transformerBlock(
  x: Tensor,
  parameters: Parameters,
  names: BlockNames,
  options: BlockOptions,
): Tensor {
  // Before a block that is computed twice, which is recorded the second time alone.
  const halves = readsInHalves(x, parameters, names, options.heads);
  const work = (input: Tensor): Tensor => computeBlock(input, parameters, names, options, halves);
  return options.recompute ? checkpoint(work, [x]) : work(x);
}

/** Whether attention gets f16, its gradients included. */
function readsInHalves(x: Tensor, parameters: Parameters, names: BlockNames, heads: number): boolean {
  const [inputWeight, inputBias] = names.attentionInput;
  // What comes after attention sends no gradient through it that these do not.
  const others = [inputBias, `${names.norm1}.weight`, `${names.norm1}.bias`];
  const weight = parameters.get(inputWeight);
  const headWidth = weight.shape[0]! / 3 / heads;
  return attendsInHalves(
    x,
    weight,
    headWidth,
    others.map((name) => parameters.get(name)),
  );
}

function computeBlock(
  x: Tensor,
  parameters: Parameters,
  names: BlockNames,
  options: BlockOptions,
  halves: boolean,
): Tensor {
  const { heads, activation, epsilon, causal } = options;
  const weight = (name: string): Tensor => parameters.get(`${name}.weight`);
  const bias = (name: string): Tensor => parameters.get(`${name}.bias`);
  return x.device.scope(() => {
    const normalized = layerNorm(x, weight(names.norm1), bias(names.norm1), epsilon);
    const [inputWeight, inputBias] = names.attentionInput;
    const packed = linear(normalized, parameters.get(inputWeight), {
      bias: parameters.get(inputBias),
      dtype: halves ? 'f16' : 'f32',
    });
    // Less than the width of x in pruned blocks.
    const width = packed.shape[2]! / 3;
    const [query, key, value] = [0, 1, 2].map((part) =>
      packed.slice(2, part * width, (part + 1) * width).splitHeads(heads),
    ) as [Tensor, Tensor, Tensor];
    const attended = attention(query, key, value, { causal });
    const middle = linear(attended, weight(names.attentionOutput), {
      bias: bias(names.attentionOutput),
      dtype: 'f32',
      residual: x,
    });
    const expanded = linear(
      layerNorm(middle, weight(names.norm2), bias(names.norm2), epsilon),
      weight(names.expand),
      {
        bias: bias(names.expand),
        activation,
      },
    );
    return linear(expanded, weight(names.contract), { bias: bias(names.contract), residual: middle });
  });
}
