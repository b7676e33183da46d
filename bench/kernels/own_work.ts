/** Our own kernels doing some work: its tensors on the device, and every variant that the adapter allows. */
import { type Device, type Tensor, cast, quantize } from '../../engine/index.js';
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  type Variant,
  type VariantFamily,
  choiceKey,
  chooseVariant,
  columnSumGroups,
  launchColumnSum,
} from '../../kernels/index.js';
import type { OperandValues } from './values.js';
import { type NumberType, type Work, operandsOf } from './work.js';

/** A way to do the work. */
export interface OwnVariant {
  readonly name: string;
  /** Records its launches once. */
  readonly record: () => void;
}

/** Work that is ready to be done again and again. */
export interface OwnWork {
  readonly variants: readonly OwnVariant[];
  /** Tensors by the names of the work's outputs. */
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Of work that there are several ways to do. */
  readonly choice?: VariantChoice;
}

/** What a measured choice is kept by, and which variant is taken without one. */
export interface VariantChoice {
  readonly key: string;
  readonly expected: string;
}

/** The choice among the variants of a family, as the engine makes it for a problem. */
export function choiceAmong<Problem, Way extends Variant<Problem>>(
  family: VariantFamily<Problem, Way>,
  problem: Problem,
  traits: AdapterTraits,
): VariantChoice {
  const expected = chooseVariant(family, problem, { traits });
  return { key: choiceKey(family, problem), expected: expected.name };
}

/** What a family of kernels needs to lay out its work. */
export interface Bench {
  readonly device: Device;
  /** Inputs and outputs of the work, dense. */
  readonly tensors: Readonly<Record<string, Tensor>>;
}

/** Allocates the operands of some work and uploads its inputs. The caller's scope frees them. */
export function allocateOperands(
  device: Device,
  work: Work,
  dtype: NumberType,
  values: OperandValues,
): Bench {
  const { inputs, outputs } = operandsOf(work, dtype);
  const uploaded = Object.entries(inputs).map(([name, { shape, dtype: stored }]) => {
    const tensor = device.tensor(values[name]! as Float32Array<ArrayBuffer>, shape);
    if (stored === 'q8') return [name, quantize(tensor)] as const;
    return [name, stored === 'f16' ? cast(tensor, 'f16') : tensor] as const;
  });
  const made = Object.entries(outputs)
    .filter(([name]) => !(name in inputs))
    .map(([name, { shape, dtype: stored }]) => [name, device.empty(stored, shape)] as const);
  return { device, tensors: Object.fromEntries([...uploaded, ...made]) };
}

/**
 * Work that there is one way to do.
 * @param outputs names of the tensors that are the work's outputs
 */
export function single(
  bench: Bench,
  name: string,
  record: () => void,
  outputs: readonly string[] = ['result'],
): OwnWork {
  return {
    outputs: Object.fromEntries(outputs.map((output) => [output, bench.tensors[output]!])),
    variants: [{ name, record }],
  };
}

/** Records one launch over some of the tensors, in the order of its bindings. */
export function launch<Name extends string>(
  device: Device,
  tensors: Readonly<Record<string, Tensor>>,
  order: readonly Name[],
  build: (operands: Readonly<Record<Name, Operand>>) => Launch,
): void {
  device.dispatch(
    (given) => build(Object.fromEntries(order.map((name, i) => [name, given[i]!])) as Record<Name, Operand>),
    order.map((name) => tensors[name]!),
    () => 'benchmark',
  );
}

/** Sums down the columns of `[rows, columns]` or `[sums, rows, columns]`, in one launch or two, as the engine takes them. */
export function columnSums(device: Device, x: Tensor, result: Tensor): () => void {
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  const groups = columnSumGroups(rows, columns, device.traits);
  const partial = groups > 1 ? [device.empty('f32', [groups, ...result.shape])] : [];
  const inRows = x.rank === 3 ? x.transpose(0, 1) : x;
  const chain = [inRows, ...partial, result.reshape([1, ...result.shape])];
  return () => {
    for (const [i, to] of chain.slice(1).entries()) {
      launch(device, { from: chain[i]!, to }, ['from', 'to'], ({ from, to: sums }) =>
        launchColumnSum(1, from, sums, device.traits),
      );
    }
  };
}

/** What kernels would be told of a tensor. */
export function operandOf({ dtype, shape, strides, offset }: Tensor): Operand {
  return { dtype, shape, strides, offset };
}
