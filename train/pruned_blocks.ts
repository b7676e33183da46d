/** Parameters of CLIP's blocks with the rows or columns of least weight left out, as a pruned ladder starts. */

/** What of a parameter is left out. */
interface Pruning {
  /** Query, key and value are pruned each by itself. */
  readonly parts: number;
  readonly axis: 'rows' | 'columns';
}

/** By the end of the name. Rows of a matrix and their biases are chosen independently, as in the original. */
const prunings: readonly (readonly [name: RegExp, Pruning])[] = [
  [/attn\.in_proj_(weight|bias)$/, { parts: 3, axis: 'rows' }],
  [/mlp\.c_fc\.(weight|bias)$/, { parts: 1, axis: 'rows' }],
  [/(attn\.out_proj|mlp\.c_proj)\.weight$/, { parts: 1, axis: 'columns' }],
];

/**
 * A parameter of one of CLIP's blocks, with the rows or columns kept whose absolute values have the largest sums, in
 * their order; of equal ones the first.
 *
 * @param name within the block
 * @param values of the shape `[rows, columns]` or `[rows]`
 * @param shape that is wanted
 */
export function prunedParameter(name: string, values: Float32Array, shape: readonly number[]): Float32Array {
  const pruning = prunings.find(([pattern]) => pattern.test(name))?.[1];
  if (pruning === undefined) return values;
  const [rows, columns = 1] = shape as [number, number?];
  if (pruning.axis === 'columns') return keepColumns(values, rows, columns);
  const { parts } = pruning;
  const size = values.length / parts;
  const result = new Float32Array(rows * columns);
  for (let part = 0; part < parts; part++) {
    const kept = keepRows(values.subarray(part * size, (part + 1) * size), columns, rows / parts);
    result.set(kept, part * kept.length);
  }
  return result;
}

function keepRows(values: Float32Array, columns: number, count: number): Float32Array {
  const row = (index: number): Float32Array => values.subarray(index * columns, (index + 1) * columns);
  const kept = heaviest(
    Array.from({ length: values.length / columns }, (_, index) => absoluteSum(row(index))),
    count,
  );
  const result = new Float32Array(count * columns);
  kept.forEach((from, to) => result.set(row(from), to * columns));
  return result;
}

function keepColumns(values: Float32Array, rows: number, count: number): Float32Array {
  const columns = values.length / rows;
  const column = (index: number): Float32Array =>
    Float32Array.from({ length: rows }, (_, row) => values[row * columns + index]!);
  const kept = heaviest(
    Array.from({ length: columns }, (_, index) => absoluteSum(column(index))),
    count,
  );
  return Float32Array.from({ length: rows * count }, (_, i) => {
    return values[Math.floor(i / count) * columns + kept[i % count]!]!;
  });
}

/** Numbers of the `count` largest weights, ascending. */
function heaviest(weights: readonly number[], count: number): number[] {
  return weights
    .map((_, index) => index)
    .sort((a, b) => weights[b]! - weights[a]!)
    .slice(0, count)
    .sort((a, b) => a - b);
}

function absoluteSum(values: Float32Array): number {
  return values.reduce((sum, value) => sum + Math.abs(value), 0);
}
