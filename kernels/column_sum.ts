/** Sums over rows (all dimensions but the last), as the gradients of biases need them. */
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';
import { rowPlaces, rowWidth } from './row_launch.js';
import { vectorType } from './stream.js';

/** Columns an invocation adds up: what they share of a row is found once. */
const columnsPerLane = 4;
/** Rows added up one by one, then parts of so many rows: f32 sums of n like terms are off by up to n / 2^24. */
const partRows = 32;
/** Parts of a group, at most. On a CPU fewer groups save more than they lose. */
const partLimit = ({ software }: AdapterTraits): number => (software ? 128 : 32);

/**
 * Groups into which the rows of a column sum should be cut: so many that no chain of additions loses digits and that
 * the adapter is filled. 1: one launch gives the sums. Else the groups' sums are summed again, in the same way.
 */
export function columnSumGroups(rows: number, columns: number, traits: AdapterTraits): number {
  const forDigits = Math.ceil(rows / (partRows * partLimit(traits)));
  // Below so many rows a second launch costs more than waiting for few invocations; on a CPU, below so many elements.
  if (rows <= 256 || (traits.software && forDigits === 1 && rows * columns <= 1 << 22)) return 1;
  const invocations = traits.software ? 512 : 131_072;
  const forFilling = Math.ceil((invocations * columnsPerLane) / columns);
  return Math.max(forDigits, Math.min(forFilling, Math.floor(rows / partRows)));
}

/** What kernels that include `column_walk.wgsl` share. The rows of their results are those of groups; offsets are `<name>Offset`. */
export function columnWalk(
  kernel: string,
  operands: { readonly x: Operand; readonly gradient?: Operand },
  results: Readonly<Record<string, Operand>>,
  groups: number,
  traits: AdapterTraits,
): Pick<Launch, 'defines' | 'params' | 'workgroups'> & { readonly width: 1 | 4 } {
  const width = rowWidth([...Object.values(operands), ...Object.values(results)]);
  const { rows, columns, defines, params } = rowPlaces(kernel, operands, width);
  const lanes = traits.software && traits.subgroupSize > 0 ? traits.subgroupSize : 64;
  const steps = columnsPerLane / width;
  return {
    width,
    defines: { WORKGROUP: lanes, COLUMNS: steps, PART: partRows, ...defines },
    params: {
      rows: u32(rows),
      columns: u32(columns),
      groups: u32(groups),
      ...params,
      ...Object.fromEntries(
        Object.entries(results).map(([name, { offset }]) => [`${name}Offset`, u32(offset / width)]),
      ),
    },
    workgroups: spreadWorkgroups(Math.ceil(columns / lanes / steps) * groups, traits),
  };
}

/**
 * Sums over all rows of `x`, `[..., columns]` with contiguous columns. Operands: x, result: `[columns]`, or
 * `[groups, columns]` for the sums of groups of rows, columns contiguous (see `columnSumGroups`).
 */
export function launchColumnSum(x: Operand, result: Operand, traits: AdapterTraits): Launch {
  const kernel = 'column_sum';
  const grouped = result.shape.length === 2;
  const { width, ...walk } = columnWalk(kernel, { x }, { result }, grouped ? result.shape[0]! : 1, traits);
  return {
    kernel,
    file: `${kernel}.wgsl`,
    defines: { X: vectorType(x.dtype, width), RESULT: vectorType(result.dtype, width), ...walk.defines },
    features: storageFeatures([x, result]),
    access: ['read', 'write'],
    params: {
      ...walk.params,
      resultStride: u32(grouped ? result.strides[0]! / width : 0),
    },
    workgroups: walk.workgroups,
  };
}
