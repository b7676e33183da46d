/** The backward of picking rows: gradients added up where the rows came from. */
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  type Parameter,
  f32,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';
import { vectorType } from './stream.js';

/** What `scatter` and the sorting before it know of the picks. */
export interface Picks {
  /** `[outer, picks]` u32, of any strides: the entry of the axis that each pick points at. */
  readonly index: Operand;
  /** `[outer, picks]` u32, dense: the picks sorted by entry, from {@link launchSortIndices}. */
  readonly order: Operand;
  /** Size of the whole axis. */
  readonly axis: number;
  /** Where picks past the axis go: to its last entry, as `gather` reads them, or nowhere, as in `embedding`. */
  readonly outside: 'last' | 'nowhere';
}

export interface ScatterProblem extends Picks {
  /** `[outer, picks, inner]`, f32 or f16, each row contiguous in itself. */
  readonly gradient: Operand;
  readonly scale: number;
  /** `[outer, window, inner]`: a window of the axis, each row contiguous in itself. It is added to. */
  readonly result: Operand;
  /** First entry of the window within the axis. */
  readonly windowStart: number;
}

/**
 * Most picks of an outer entry that one launch should take: sorting compares each with each. Longer lists are cut
 * along the picks and added one part after another, since the result is added to.
 */
export const scatterPicksLimit = 1 << 14;

const picksPerLane = 4;

function indexParameters({ index, order, axis, outside }: Picks): Record<string, Parameter> {
  return {
    picks: u32(index.shape[1]!),
    indexOffset: u32(index.offset),
    indexOuterStride: u32(index.strides[0]!),
    indexStride: u32(index.strides[1]!),
    orderOffset: u32(order.offset),
    outside: u32(outside === 'last' ? axis - 1 : axis),
  };
}

/** Sorts picks by the entry they point at, equal ones by position. Operands: index, order. */
export function launchSortIndices(picks: Picks, traits: AdapterTraits): Launch {
  const [outers, count] = picks.index.shape as [number, number];
  const lanes = traits.subgroupSize > 0 ? traits.subgroupSize : 64;
  const blocks = Math.ceil(count / (picksPerLane * lanes));
  return {
    kernel: 'sort_indices',
    file: 'sort_indices.wgsl',
    defines: { WORKGROUP: lanes },
    features: [],
    access: ['read', 'write'],
    params: { ...indexParameters(picks), outers: u32(outers), blocks: u32(blocks) },
    workgroups: spreadWorkgroups(outers * blocks, traits),
  };
}

/** Elements of a row that can be read at once. */
function rowVectorWidth(operands: readonly Operand[]): 1 | 4 {
  const fits = ({ offset, shape, strides }: Operand): boolean =>
    offset % 4 === 0 && shape[2]! % 4 === 0 && [0, 1].every((d) => shape[d] === 1 || strides[d]! % 4 === 0);
  return operands.every(fits) ? 4 : 1;
}

/**
 * `result[outer, index[outer, j], :] += scale * gradient[outer, j, :]`, equal picks in the order of their positions.
 * Entries that no pick points at are left as they are. Operands: gradient, index, order, result.
 */
export function launchScatter(problem: ScatterProblem, traits: AdapterTraits): Launch {
  const { gradient, index, result } = problem;
  for (const { shape, strides } of [gradient, result]) {
    if (shape[2] !== 1 && strides[2] !== 1) {
      throw new Error(`scatter: rows must be contiguous, their stride is ${strides[2]}`);
    }
  }
  const slots = index.shape[0]! * index.shape[1]!;
  const width = rowVectorWidth([gradient, result]);
  const columns = result.shape[2]! / width;
  const lanes = traits.subgroupSize > 0 ? traits.subgroupSize : 64;
  // A workgroup is dear on a CPU, where it takes whole rows, and several; a GPU takes the parts of rows side by side.
  const columnBlocks = traits.software ? 1 : Math.ceil(columns / lanes);
  const span = traits.software ? 16 : 1;
  return {
    kernel: 'scatter',
    file: 'scatter.wgsl',
    defines: {
      GRADIENT: vectorType(gradient.dtype, width),
      RESULT: vectorType(result.dtype, width),
      FLOATS: vectorType('f32', width),
      WORKGROUP: lanes,
    },
    features: storageFeatures([gradient, result]),
    access: ['read', 'read', 'read', 'readWrite'],
    params: {
      ...indexParameters(problem),
      slots: u32(slots),
      span: u32(span),
      columns: u32(columns),
      columnBlocks: u32(columnBlocks),
      scale: f32(problem.scale),
      windowStart: u32(problem.windowStart),
      windowEntries: u32(result.shape[1]!),
      gradientOffset: u32(gradient.offset / width),
      gradientOuterStride: u32(Math.floor(gradient.strides[0]! / width)),
      gradientStride: u32(Math.floor(gradient.strides[1]! / width)),
      resultOffset: u32(result.offset / width),
      resultOuterStride: u32(Math.floor(result.strides[0]! / width)),
      resultStride: u32(Math.floor(result.strides[1]! / width)),
    },
    workgroups: spreadWorkgroups(Math.ceil(slots / span) * columnBlocks, traits),
  };
}
