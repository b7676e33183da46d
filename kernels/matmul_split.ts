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

/** So many times as many are the most that are tried: products of parts take 64 MiB at most, which any adapter can bind. */
const mostTimesBusy = 8;

const partCounts = [2, 4, 8, 16, 32] as const;

/** Edges that a part is deep at least: what is stored and added up again is at most a quarter of what its tiles load. */
const leastEdges = 4;

/** Workgroups for the whole of the depth. */
export function tileCount({ result }: MatmulProblem, edge: number): number {
  const [outer, inner, rows, columns] = result.shape as [number, number, number, number];
  return Math.ceil(rows / edge) * Math.ceil(columns / edge) * outer * inner;
}

/**
 * The cut forms of variants that go by tiles. They are expected to be the fastest where none of those fills the GPU: of
 * the largest tile that does in parts, with as few as do. Shaders are those of the whole product, so that units for
 * matrices need not be tried again.
 * @param tiled from the largest tile to the smallest
 */
export function splitsOf(tiled: readonly TiledVariant[]): MatmulVariant[] {
  const fills = (problem: MatmulProblem, traits: AdapterTraits): boolean =>
    tiled.some(
      (whole) => whole.canApply(problem, traits) && tileCount(problem, whole.edge) >= busyWorkgroups,
    );
  return tiled.flatMap((whole) =>
    partCounts.map((parts) => ({
      name: `${whole.name}_split_${parts}`,
      parts,
      canApply: (problem, traits) =>
        !traits.software &&
        canCut(problem) &&
        fillsInParts(problem, whole.edge, parts) &&
        whole.canApply(problem, traits),
      suits: (problem, traits) => !fills(problem, traits),
      launch: (problem, traits) => whole.launch(inParts(problem, parts), traits),
    })),
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

function fillsInParts(problem: MatmulProblem, edge: number, parts: number): boolean {
  const depth = problem.left.shape[3]!;
  const workgroups = parts * tileCount(problem, edge);
  return (
    depth % parts === 0 &&
    depth / parts >= leastEdges * edge &&
    workgroups >= busyWorkgroups &&
    workgroups <= mostTimesBusy * busyWorkgroups
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
