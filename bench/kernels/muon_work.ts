/** The products of Muon's Newton-Schulz iterations, from the shapes of the matrices that it trains. */
import { newtonSchulzIterations } from './settings.js';
import { type Use, linear } from './use.js';
import type { MatmulWork } from './work.js';

/**
 * What the matrices of a step take: each lies along its shorter side, `y` of `[side, length]`, and every iteration makes
 * `s = y yᵀ`, then `c = s s + s`, then `c y + y`.
 * @param matrices shapes `[rows, columns]`, as often as there are such matrices
 */
export function newtonSchulzUses(matrices: readonly (readonly number[])[]): Use[] {
  const works = matrices.flatMap((shape) => productsOf(Math.min(...shape), Math.max(...shape)));
  const uses = new Map<string, Use>();
  for (const { what, work } of works) {
    const key = JSON.stringify(work);
    const occurrences = (uses.get(key)?.occurrences ?? 0) + newtonSchulzIterations;
    uses.set(key, { work, stage: 'training', purpose: `optimizer Muon, ${what}`, occurrences });
  }
  return [...uses.values()];
}

function productsOf(side: number, length: number): { what: string; work: MatmulWork }[] {
  const product = (depth: number, columns: number, options: Partial<MatmulWork>): MatmulWork => ({
    ...linear(side, depth, columns, { bias: false, rightTransposed: false }),
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
