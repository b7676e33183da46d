/** Work that units for small matrices are tried with. */
import {
  type AdapterTraits,
  type AttentionBackwardVariant,
  type AttentionProblem,
  type AttentionVariant,
  type Launch,
  type MatmulProblem,
  type MatmulVariant,
  type Operand,
  type Variant,
  attentionBackwardSteps,
  matmulOperandsByName,
  quantizedBlock,
} from '../kernels/index.js';
import type { Device } from './device.js';
import { cast, contiguous } from './operations/elementwise.js';
import { quantize } from './operations/quantize.js';
import type { Tensor } from './tensor.js';

/** Work whose operands are rounded alike, in the plain way and in each that the units allow. */
export interface Trial {
  readonly plain: () => Tensor;
  readonly byUnits: readonly (() => Tensor)[];
  /** By how much results may differ: products reach 60, attention, whose weights are rounded, 1, and its gradients 7. */
  readonly tolerance: number;
}

/** A kind of work as its variants see it. */
interface Work<Problem, Way> {
  readonly problem: Problem;
  readonly record: (variant: Way) => Tensor;
  readonly tolerance: number;
}

function trialOf<Problem, Way extends Variant<Problem>>(
  variants: readonly Way[],
  traits: AdapterTraits,
  { problem, record, tolerance }: Work<Problem, Way>,
): Trial {
  const by = (variant: Way) => () => record(variant);
  const allowed = variants.filter(
    (variant) => variant.byMatrixUnits === true && variant.canApply(problem, traits),
  );
  return { plain: by(variants.at(-1)!), byUnits: allowed.map(by), tolerance };
}

/** Work that is one launch. */
interface SingleLaunch<Problem> {
  readonly tensors: readonly Tensor[];
  /** Of the tensors and the result. */
  readonly problemOf: (operands: readonly Operand[]) => Problem;
  readonly result: () => Tensor;
  readonly tolerance: number;
}

type Launching<Problem> = Variant<Problem> & { launch(problem: Problem, traits: AdapterTraits): Launch };

function singleLaunchTrial<Problem>(
  device: Device,
  traits: AdapterTraits,
  variants: readonly Launching<Problem>[],
  { tensors, problemOf, result, tolerance }: SingleLaunch<Problem>,
): Trial {
  return trialOf(variants, traits, {
    problem: problemOf([...tensors, result()]),
    record(variant: Launching<Problem>) {
      const filled = result();
      device.dispatch(
        (operands) => variant.launch(problemOf(operands), traits),
        [...tensors, filled],
        () => `self-test of ${variant.name}`,
      );
      return filled;
    },
    tolerance,
  });
}

/**
 * Operands that lie in every way: by rows or by columns, at multiples of four elements or not, narrow or in blocks. Sizes are
 * no multiples of a tile's.
 */
export function productTrials(
  device: Device,
  traits: AdapterTraits,
  variants: readonly MatmulVariant[],
): Trial[] {
  const trials: Trial[] = [];
  for (const [rows, depth, columns] of [
    [70, 83, 149],
    [68, 96, 148],
  ] as const) {
    const byRows = device.tensor(waves(rows * depth), [1, 1, rows, depth]);
    const byColumns = contiguous(byRows.transpose()).transpose();
    const weights = device.tensor(waves(columns * depth), [1, 1, columns, depth]);
    const turned = contiguous(weights.transpose());
    // The last as gradients of weights have it, which may be rounded.
    const rights = [cast(weights, 'f16').transpose(), cast(turned, 'f16'), turned];
    if (depth % quantizedBlock === 0) {
      const blocks = device.empty('q8', weights.shape);
      quantize(weights, blocks);
      rights.push(blocks.transpose());
    }
    const add = (left: Tensor, right: Tensor, dtype: 'f32' | 'f16'): void => {
      const work: SingleLaunch<MatmulProblem> = {
        // All that a launch binds but the result: neither bias nor residual.
        tensors: [left, right, right, right],
        problemOf: (operands) => ({
          ...matmulOperandsByName(operands, {}),
          activation: 'none',
          scale: 1,
          halves: true,
        }),
        result: () => device.empty(dtype, [1, left.shape[1]!, rows, columns]),
        // Results of f16 may be rounded to one neighbour or the other.
        tolerance: dtype === 'f16' ? 0.05 : 1e-3,
      };
      trials.push(singleLaunchTrial(device, traits, variants, work));
    };
    for (const left of [byRows, byColumns]) for (const right of rights) add(left, right, 'f32');
    // Around attention, of its gradients, and in parts, which are a batch.
    const twice = (matrix: Tensor): Tensor => matrix.expand([1, 2, ...matrix.shape.slice(2)]);
    const narrow = cast(contiguous(byRows.transpose()), 'f16').transpose();
    add(byRows, rights[0]!, 'f16');
    add(byColumns, turned, 'f16');
    add(narrow, rights[1]!, 'f32');
    add(twice(narrow), twice(turned), 'f16');
  }
  return trials;
}

/** Heads of common widths at multiples of four elements, and anywhere with all that hides keys; many tokens and few. */
export function attentionTrials(
  device: Device,
  traits: AdapterTraits,
  variants: readonly AttentionVariant[],
): Trial[] {
  return headForms.map((form): Trial => {
    const { width, tokens, hides } = form;
    const { rows, mask, padding } = headsOf(device, form);
    const [query, key, value] = [rows(0), rows(1), rows(2)];
    const work: SingleLaunch<AttentionProblem> = {
      tensors: [query, key, value, ...(hides ? [mask, padding] : [])],
      problemOf: (given) => ({
        query: given[0]!,
        key: given[1]!,
        value: given[2]!,
        mask: hides ? given[3] : undefined,
        padding: hides ? given[4] : undefined,
        causal: hides,
        scale: headScale,
        result: given.at(-1)!,
      }),
      result: () => device.empty(hides ? 'f32' : 'f16', [1, tokens, heads, width]).transpose(1, 2),
      tolerance: 2e-3,
    };
    return singleLaunchTrial(device, traits, variants, work);
  });
}

/** The gradients of such attention, whatever it gave: each result holds those of query, key and value. */
export function gradientTrials(
  device: Device,
  traits: AdapterTraits,
  variants: readonly AttentionBackwardVariant[],
): Trial[] {
  return headForms.map((form): Trial => {
    const { width, tokens, hides } = form;
    const { rows, mask, padding } = headsOf(device, form);
    const inputs = {
      ...{ query: rows(0), key: rows(1), value: rows(2), output: rows(3), outputGradient: rows(4) },
      ...(hides ? { mask, padding } : {}),
    };
    const whole = () => {
      const result = device.empty(hides ? 'f32' : 'f16', [3, 1, tokens, heads, width]);
      const gradients = result.transpose(2, 3);
      const statistics = device.empty('f32', [1, heads, tokens, 2]);
      const outputs = { queryGradient: gradients.select(0, 0), keyValueGradient: gradients.slice(0, 1, 3) };
      return { result, problem: { ...inputs, ...outputs, statistics, causal: hides, scale: headScale } };
    };
    return trialOf(variants, traits, {
      problem: whole().problem,
      record(variant) {
        const { result, problem } = whole();
        for (const { name, operands } of attentionBackwardSteps) {
          const names = operands.filter((operand) => problem[operand] !== undefined);
          device.dispatch(
            (given) => {
              const bound = Object.fromEntries(names.map((operand, i) => [operand, given[i]!]));
              return variant.launch(name, { ...problem, ...bound }, traits);
            },
            names.map((operand) => problem[operand]!),
            () => `self-test of ${variant.name}`,
          );
        }
        return result;
      },
      tolerance: 1e-2,
    });
  });
}

/** Queries, keys and values that attention is tried with. */
interface HeadForm {
  readonly width: number;
  readonly tokens: number;
  /** Whether keys are hidden in every way; such heads begin anywhere. */
  readonly hides: boolean;
}

const headForms: readonly HeadForm[] = [70, 20].flatMap((tokens) =>
  [32, 64, 128].flatMap((width) => [false, true].map((hides) => ({ width, tokens, hides }))),
);

const heads = 2;
const headScale = 0.5;

/** What makes `[1, heads, tokens, width]` of f16, and what hides keys from queries. */
function headsOf(device: Device, { width, tokens, hides }: HeadForm) {
  const skipped = hides ? 1 : 0;
  const joined = heads * width + skipped;
  /** Each operand has numbers of its own. */
  const rows = (index: number): Tensor => {
    const all = waves((tokens + index) * joined).subarray(index * joined);
    return cast(device.tensor(all, [1, tokens, joined]), 'f16')
      .slice(2, skipped)
      .splitHeads(heads);
  };
  const mask = device
    .tensor(waves(tokens * tokens), [1, 1, tokens, tokens])
    .expand([1, heads, tokens, tokens]);
  const padding = device.tensor(
    Uint32Array.from({ length: tokens }, (_, key) => Number(key % 9 === 4)),
    [1, tokens],
  );
  return { rows, mask, padding };
}

/** The same in every run; sums of their products are of all sizes up to 60. */
function waves(count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i * (1 + i / 100)));
}
