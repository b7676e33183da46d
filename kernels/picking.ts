/** Small kernels on indices and token ids. */
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  elementCount,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';

const workgroupSize = 64;

export interface GatherProblem {
  /** `[outer, window, inner]`: a window of the axis; each outer entry contiguous in itself. */
  readonly x: Operand;
  /** First entry of the window within the axis, and the whole axis' size. */
  readonly windowStart: number;
  readonly axis: number;
  /** `[outer, picks]` u32, contiguous. */
  readonly index: Operand;
  /** `[outer, picks, inner]`, contiguous. */
  readonly result: Operand;
}

/** `result[outer, j, inner] = x[outer, index[outer, j], inner]`. Operands: x, index, result. */
export function launchGather(problem: GatherProblem, traits: AdapterTraits): Launch {
  const { x, index, result } = problem;
  const count = elementCount(result.shape);
  return {
    kernel: 'gather',
    file: 'gather.wgsl',
    defines: { X: x.dtype, WORKGROUP: workgroupSize },
    features: storageFeatures([x]),
    access: ['read', 'read', 'write'],
    params: {
      count: u32(count),
      axis: u32(problem.axis),
      windowStart: u32(problem.windowStart),
      windowEntries: u32(x.shape[1]!),
      picks: u32(index.shape[1]!),
      inner: u32(x.shape[2]!),
      xOffset: u32(x.offset),
      xStride: u32(x.strides[0]!),
      indexOffset: u32(index.offset),
      resultOffset: u32(result.offset),
    },
    workgroups: spreadWorkgroups(Math.ceil(count / workgroupSize), traits),
  };
}

/** Marks every position from a row's first `endId` on. Operands: ids `[batch, length]` u32, result likewise. */
export function launchEndPadding(
  endId: number,
  ids: Operand,
  result: Operand,
  traits: AdapterTraits,
): Launch {
  const [rows, columns] = ids.shape as [number, number];
  return {
    kernel: 'end_padding',
    file: 'end_padding.wgsl',
    defines: { WORKGROUP: workgroupSize },
    features: [],
    access: ['read', 'write'],
    params: {
      rows: u32(rows),
      columns: u32(columns),
      endId: u32(endId),
      idsOffset: u32(ids.offset),
      idsStride: u32(ids.strides[0]!),
      resultOffset: u32(result.offset),
    },
    workgroups: spreadWorkgroups(Math.ceil(rows / workgroupSize), traits),
  };
}
