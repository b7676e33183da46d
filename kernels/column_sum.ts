/** Sums over rows (all dimensions but the last), as the gradients of biases need them. */
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  f32,
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

/** Blocks of columns that a workgroup goes through: on a CPU several, where few rows cost less than to start it. */
function blockSpan(rows: number, blocks: number, copies: number, { software }: AdapterTraits): number {
  const fewestSteps = 256;
  const workgroups = 64;
  return software
    ? Math.max(1, Math.min(Math.ceil(fewestSteps / rows), Math.floor((blocks * copies) / workgroups)))
    : 1;
}

function withoutAxis({ shape, strides, ...rest }: Operand, axis: number): Operand {
  return { ...rest, shape: shape.toSpliced(axis, 1), strides: strides.toSpliced(axis, 1) };
}

/**
 * What kernels that include `column_walk.wgsl` share; offsets of results are `<name>Offset`.
 * @param cut groups of rows, and, where several sums lie side by side, how many: `x` alone is `[..., sums, columns]` then
 */
export function columnWalk(
  kernel: string,
  operands: { readonly x: Operand; readonly gradient?: Operand },
  results: Readonly<Record<string, Operand>>,
  { groups, sums }: { readonly groups: number; readonly sums?: number | undefined },
  traits: AdapterTraits,
): Pick<Launch, 'defines' | 'params' | 'workgroups'> & { readonly width: 1 | 4 } {
  const width = rowWidth([...Object.values(operands), ...Object.values(results)]);
  const { x } = operands;
  // Which sum it is, workgroups find and not rows: a division for each row would take longer than the row.
  const ofOneSum = sums === undefined ? operands : { x: withoutAxis(x, x.shape.length - 2) };
  const { rows, columns, defines, params } = rowPlaces(kernel, ofOneSum, width);
  const lanes = traits.software && traits.subgroupSize > 0 ? traits.subgroupSize : 64;
  const steps = columnsPerLane / width;
  const blocks = Math.ceil(columns / lanes / steps);
  const all = groups * (sums ?? 1);
  const span = blockSpan(Math.ceil(rows / groups), blocks, all, traits);
  return {
    width,
    defines: { WORKGROUP: lanes, COLUMNS: steps, PART: partRows, ...defines },
    params: {
      rows: u32(rows),
      columns: u32(columns),
      groups: u32(groups),
      sums: u32(sums ?? 1),
      // Of a single one the stride may be anything.
      xSumStride: u32(sums === undefined || sums === 1 ? 0 : x.strides.at(-2)! / width),
      span: u32(span),
      ...params,
      ...Object.fromEntries(
        Object.entries(results).map(([name, { offset }]) => [`${name}Offset`, u32(offset / width)]),
      ),
    },
    workgroups: spreadWorkgroups(Math.ceil(blocks / span) * all, traits),
  };
}

/**
 * Sums over all rows of `x`, over a divisor: `[..., columns]` with contiguous columns, or `[..., sums, columns]` for several side by side.
 * Operands: x, result: `[columns]` or `[groups, columns]`, or `[groups, sums, columns]`, columns contiguous; what groups
 * give is to be added up again (see `columnSumGroups`).
 */
export function launchColumnSum(divisor: number, x: Operand, result: Operand, traits: AdapterTraits): Launch {
  const kernel = 'column_sum';
  const { shape, strides } = result;
  const several = shape.length === 3;
  const cut = { groups: shape.length === 1 ? 1 : shape[0]!, sums: several ? shape[1]! : undefined };
  const { width, ...walk } = columnWalk(kernel, { x }, { result }, cut, traits);
  return {
    kernel,
    file: `${kernel}.wgsl`,
    defines: { X: vectorType(x.dtype, width), RESULT: vectorType(result.dtype, width), ...walk.defines },
    features: storageFeatures([x, result]),
    access: ['read', 'write'],
    params: {
      ...walk.params,
      resultGroupStride: u32(cut.groups > 1 ? strides[0]! / width : 0),
      resultSumStride: u32(several && shape[1]! > 1 ? strides[1]! / width : 0),
      divisor: f32(divisor),
    },
    workgroups: walk.workgroups,
  };
}
