/** The products of Muon's Newton-Schulz iterations, from the shapes of the matrices that it trains. */
import { iterations, mostStacked } from '../../engine/optimizers/muon.js';
import { type Use, linear } from './use.js';
import type { MatmulWork } from './work.js';

/** Shapes `[rows, columns]`, as often as there are such matrices. */
export type MatrixShapes = readonly (readonly number[])[];

/**
 * What the matrices of a step take, those of one shape in stacks: each lies along its shorter side, `y` of `[side, length]`,
 * and every iteration makes `s = y yᵀ`, then `c = s s + s`, then `c y + y`.
 * @param groups of parameters, which are trained apart
 */
export function newtonSchulzUses(groups: readonly MatrixShapes[]): Use[] {
  const uses = new Map<string, Use>();
  for (const { what, work } of groups.flatMap(stacksOf).flatMap(productsOf)) {
    const key = JSON.stringify(work);
    const occurrences = (uses.get(key)?.occurrences ?? 0) + iterations;
    uses.set(key, { work, stage: 'training', purpose: `optimizer Muon, ${what}`, occurrences });
  }
  return [...uses.values()];
}

interface Stack {
  readonly shape: readonly number[];
  readonly matrices: number;
}

function stacksOf(shapes: MatrixShapes): Stack[] {
  const counts = new Map<string, Stack>();
  for (const shape of shapes) {
    const key = shape.join();
    counts.set(key, { shape, matrices: (counts.get(key)?.matrices ?? 0) + 1 });
  }
  return [...counts.values()].flatMap(({ shape, matrices }) => {
    const most = Math.max(1, Math.floor(mostStacked / (shape[0]! * shape[1]!)));
    return Array.from({ length: Math.ceil(matrices / most) }, (_, i) => ({
      shape,
      matrices: Math.min(most, matrices - i * most),
    }));
  });
}

function productsOf({ shape, matrices }: Stack): { what: string; work: MatmulWork }[] {
  const [side, length] = [Math.min(...shape), Math.max(...shape)];
  const product = (depth: number, columns: number, options: Partial<MatmulWork>): MatmulWork => ({
    ...linear(side, depth, columns, { bias: false, rightTransposed: false }),
    batch: matrices,
    optimizer: true,
    ...options,
  });
  return [
    {
      what: 'matrix by itself transposed (here two matrices)',
      work: product(length, side, { rightTransposed: true }),
    },
    {
      what: 'square of their product, added to it (here three matrices)',
      work: product(side, side, { residual: true }),
    },
    {
      what: 'sum of both by the matrix, added to it (here three matrices)',
      work: product(side, length, { residual: true }),
    },
  ];
}
