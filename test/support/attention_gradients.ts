/** The gradients of attention by its kernels, and what must come out. */
import { expect } from '@jest/globals';
import { type Device, type Tensor, attention } from '../../engine/index.js';
import {
  type AttentionBackwardOperand,
  type AttentionBackwardVariant,
  attentionBackwardFamily,
  attentionBackwardSteps,
  chooseVariant,
} from '../../kernels/index.js';
import {
  type AttentionCase,
  type AttentionGradients,
  attentionGradientReference,
} from './attention_reference.js';
import { Random, poisoned, stored } from './numbers.js';

/** Errors relative to the largest value of a gradient. */
export const tolerance = { f32: 1e-5, f16: 3e-3 } as const;
export type Float = keyof typeof tolerance;

export type Tensors = Readonly<Record<Exclude<AttentionBackwardOperand, 'mask' | 'padding'>, Tensor>> & {
  readonly mask?: Tensor | undefined;
  readonly padding?: Tensor | undefined;
};

export type Inputs = Pick<Tensors, 'query' | 'key' | 'value' | 'outputGradient' | 'mask' | 'padding'>;

/** Records all steps, in the form that the adapter gets or in a given one. */
export function launchSteps(
  device: Device,
  tensors: Tensors,
  options: { readonly causal?: boolean | undefined; readonly scale?: number | undefined },
  variant?: AttentionBackwardVariant,
  traits = device.traits,
): void {
  const { causal = false, scale = 1 / Math.sqrt(tensors.query.shape[3]!) } = options;
  for (const step of attentionBackwardSteps) {
    const names = step.operands.filter((name) => tensors[name] !== undefined);
    device.dispatch(
      (operands) => {
        const bound = Object.fromEntries(names.map((name, i) => [name, operands[i]!]));
        const problem = { ...tensors, ...bound, causal, scale };
        const taken = variant ?? chooseVariant(attentionBackwardFamily, problem, device);
        expect(taken.canApply(problem, traits)).toBe(true);
        return taken.launch(step.name, problem, traits);
      },
      names.map((name) => tensors[name]!),
      () => step.name,
    );
  }
}

/** The inputs with attention's own result, and memory full of NaN for all that is to be computed. */
export function withResults(
  device: Device,
  inputs: Inputs,
  causal = false,
  scale?: number,
  dtype = inputs.query.dtype,
): Tensors {
  const [batch, heads, queries, width] = inputs.query.shape as [number, number, number, number];
  const keys = inputs.key.shape[2]!;
  const { query, key, value, mask, padding } = inputs;
  const options = { causal, mask, keyPadding: padding, ...(scale === undefined ? {} : { scale }) };
  return {
    ...inputs,
    output: attention(query, key, value, options).splitHeads(heads),
    statistics: poisoned(device, [batch, heads, queries, 2]),
    queryGradient: poisoned(device, [batch, queries, heads * width], dtype).splitHeads(heads),
    keyValueGradient: poisoned(device, [2, batch, keys, heads, width], dtype).permute([0, 1, 3, 2, 4]),
  };
}

/** `[batch, heads, tokens, width]` as values of `[batch, tokens, heads * width]`. */
export async function tokenRows(tensor: Tensor): Promise<ArrayLike<number>> {
  return tensor.permute([0, 2, 1, 3]).read();
}

export async function readGradients({ queryGradient, keyValueGradient }: Tensors): Promise<{
  readonly [name in keyof AttentionGradients]: ArrayLike<number>;
}> {
  return {
    query: await tokenRows(queryGradient),
    key: await tokenRows(keyValueGradient.select(0, 0)),
    value: await tokenRows(keyValueGradient.select(0, 1)),
  };
}

/** Compares by the largest difference over the largest value; where all should be 0, over a tenth. */
export function expectNear(
  name: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  limit: number,
): void {
  expect(actual.length).toBe(expected.length);
  let largest = 0.1;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i]!, expected[i]!];
    if (Number.isNaN(e) !== Number.isNaN(a)) throw new Error(`${name}: element ${i} is ${a}, expected ${e}`);
    if (Number.isNaN(e)) continue;
    largest = Math.max(largest, Math.abs(e));
    difference = Math.max(difference, Math.abs(a - e));
  }
  expect({ name, error: difference / largest <= limit ? 'small' : difference / largest }).toEqual({
    name,
    error: 'small',
  });
}

export async function expectGradients(
  tensors: Tensors,
  expected: AttentionGradients,
  limit: number,
): Promise<void> {
  const actual = await readGradients(tensors);
  for (const name of ['query', 'key', 'value'] as const)
    expectNear(name, actual[name], expected[name], limit);
}

function maskOf(device: Device, { batch, heads, queries, keys, mask }: AttentionCase): Tensor | undefined {
  if (!mask) return undefined;
  const values = Float32Array.from({ length: batch * heads * queries * keys }, (_, n) =>
    mask(
      Math.floor(n / (keys * queries * heads)),
      Math.floor(n / (keys * queries)) % heads,
      Math.floor(n / keys) % queries,
      n % keys,
    ),
  );
  return device.tensor(values, [batch, heads, queries, keys]);
}

function paddingOf(device: Device, { batch, keys, padded }: AttentionCase): Tensor | undefined {
  if (!padded) return undefined;
  // Any value other than 0 marks padding.
  const values = Uint32Array.from({ length: batch * keys }, (_, n) =>
    padded(Math.floor(n / keys), n % keys) ? 1 + n : 0,
  );
  return device.tensor(values, [batch, keys]);
}

export type Name = 'query' | 'key' | 'value' | 'outputGradient';

/**
 * Operands with split heads as views of `[batch, tokens, heads * width]`, and their gradients.
 * @param number element `index` of an operand; random ones if not given
 */
export async function gradientProblem(
  device: Device,
  options: AttentionCase,
  dtype: Float = 'f32',
  number?: (name: Name, index: number) => number,
): Promise<{ inputs: Inputs; expected: AttentionGradients }> {
  const random = new Random(1);
  const { batch, heads, queries, keys, width } = options;
  const make = (name: Name, tokens: number) => {
    const count = batch * tokens * heads * width;
    const values = number
      ? Float32Array.from({ length: count }, (_, index) => number(name, index))
      : random.floats(count);
    return stored(device, values, [batch, tokens, heads * width], dtype);
  };
  const [query, outputGradient] = [await make('query', queries), await make('outputGradient', queries)];
  const [key, value] = [await make('key', keys), await make('value', keys)];
  return {
    inputs: {
      query: query.tensor.splitHeads(heads),
      key: key.tensor.splitHeads(heads),
      value: value.tensor.splitHeads(heads),
      outputGradient: outputGradient.tensor.splitHeads(heads),
      mask: maskOf(device, options),
      padding: paddingOf(device, options),
    },
    expected: attentionGradientReference(
      options,
      query.values,
      key.values,
      value.values,
      outputGradient.values,
    ),
  };
}
