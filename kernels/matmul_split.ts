/**
 * Products cut along their depth (split-K), for results too small to fill a GPU with tiles, as gradients of weights are: parts
 * of the depth are the entries of a batch, whose products are added up afterwards.
 */
import type { AdapterTraits, Operand } from './kernel.js';
import type { MatmulProblem, MatmulVariant } from './matmul.js';

/** A variant whose workgroups take square tiles of results, `edge` wide. */
export interface TiledVariant extends MatmulVariant {
  readonly edge: number;
}

/** Workgroups that keep a large GPU busy; with fewer, a smaller tile is taken or the depth is cut. */
export const busyWorkgroups = 128;

/** Workgroups of cut products that are tried, at least and at most: products of parts take 64 MiB, which any adapter can bind. */
const [leastWorkgroups, mostWorkgroups] = [busyWorkgroups / 4, 8 * busyWorkgroups];

/** Of each the parts are as many as divide the depth, and more than half of it. */
const mostParts = [2, 4, 8, 16, 32] as const;

/** Edges that a part is deep at least: of f32, what is stored and added up again is at most a quarter of what its tiles load. */
const leastEdges = 4;

/** Workgroups for the whole of the depth. */
export function tileCount({ result }: MatmulProblem, edge: number): number {
  const [outer, inner, rows, columns] = result.shape as [number, number, number, number];
  return Math.ceil(rows / edge) * Math.ceil(columns / edge) * outer * inner;
}

/** A way to cut products. */
interface Cut {
  readonly whole: TiledVariant;
  readonly most: number;
}

/**
 * The cut forms of variants that go by tiles. They are expected to be the fastest where none of those fills the GPU: of
 * the largest tile that does in parts, with as few as do, else the one with the most workgroups. Shaders are those that whole
 * products have too, so that units for matrices need not be tried again.
 * @param tiled from the largest tile to the smallest
 */
export function splitsOf(tiled: readonly TiledVariant[]): MatmulVariant[] {
  const cuts: readonly Cut[] = tiled.flatMap((whole) => mostParts.map((most) => ({ whole, most })));
  const expected = (problem: MatmulProblem, traits: AdapterTraits): Cut | undefined => {
    const fills = tiled.some(
      (whole) => whole.canApply(problem, traits) && tileCount(problem, whole.edge) >= busyWorkgroups,
    );
    if (fills) return undefined;
    const possible = cuts.filter((cut) => cutsWell(problem, cut) && cut.whole.canApply(problem, traits));
    const most = Math.max(...possible.map((cut) => workgroupsOf(problem, cut)));
    return possible.find((cut) => workgroupsOf(problem, cut) >= Math.min(busyWorkgroups, most));
  };
  return cuts.map((cut) => ({
    name: `${cut.whole.name}_split_${cut.most}`,
    parts: (problem) => partsOf(problem, cut.most),
    canApply: (problem, traits) =>
      !traits.software && canCut(problem) && cutsWell(problem, cut) && cut.whole.canApply(problem, traits),
    suits: (problem, traits) => expected(problem, traits) === cut,
    launch: (problem, traits) => cut.whole.launch(inParts(problem, partsOf(problem, cut.most)), traits),
  }));
}

/** The most that divide the depth: all parts are equally deep. */
function partsOf({ left }: MatmulProblem, most: number): number {
  let parts = most;
  while (left.shape[3]! % parts !== 0) parts--;
  return parts;
}

function workgroupsOf(problem: MatmulProblem, { whole, most }: Cut): number {
  return partsOf(problem, most) * tileCount(problem, whole.edge);
}

function cutsWell(problem: MatmulProblem, cut: Cut): boolean {
  const parts = partsOf(problem, cut.most);
  const workgroups = workgroupsOf(problem, cut);
  return (
    parts > cut.most / 2 &&
    problem.left.shape[3]! / parts >= leastEdges * cut.whole.edge &&
    workgroups >= leastWorkgroups &&
    workgroups <= mostWorkgroups
  );
}

/**
 * Products whose sum is the result as it is. Their depth lies across the rows of the left operand's memory, as the tokens of
 * a batch do in gradients of weights: what is read is never cut, since its rows are those of a batch and their number
 * decides about parts, and a text must not depend on what is read beside it.
 */
function canCut({ left, right, bias, residual, activation, result }: MatmulProblem): boolean {
  const [outer, inner, rows, columns] = result.shape as [number, number, number, number];
  return (
    outer * inner === 1 &&
    left.strides[2] === 1 &&
    left.strides[3]! > 1 &&
    right.dtype !== 'q8' &&
    !bias &&
    !residual &&
    activation === 'none' &&
    (rows === 1 || result.strides[2] === columns)
  );
}

/** A product as those of its parts: `[1, 1, rows, depth]` as `[1, parts, rows, depth / parts]`. */
function inParts({ left, right, ...rest }: MatmulProblem, parts: number): MatmulProblem {
  const cut = (operand: Operand, axis: 2 | 3): Operand => {
    const { shape, strides } = operand;
    const depth = shape[axis]! / parts;
    return {
      ...operand,
      shape: shape.with(1, parts).with(axis, depth),
      strides: strides.with(1, depth * strides[axis]!),
    };
  };
  return { ...rest, left: cut(left, 3), right: cut(right, 2) };
}
