import {
  type AdapterTraits,
  type Launch,
  type Operand,
  elementCount,
  f32,
  notANumberBits,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';

export interface EmbeddingProblem {
  /** A window of whole rows of the table, `[window rows, width]`. */
  readonly table: Operand;
  /** First row of the window within the table, and the table's row count. */
  readonly windowStart: number;
  readonly tableRows: number;
  /** `[batch, length]` u32. */
  readonly ids: Operand;
  /** `[length, width]`, added after scaling. */
  readonly positions?: Operand | undefined;
  readonly scale: number;
  /** `[batch, length, width]`. */
  readonly result: Operand;
}

/** Rows of a table by id, scaled, plus positions. Operands: table, ids, (positions), result. */
export function launchEmbedding(problem: EmbeddingProblem, traits: AdapterTraits): Launch {
  const { table, ids, positions, result } = problem;
  const rows = elementCount(ids.shape);
  const workgroupSize = traits.subgroupSize > 0 ? traits.subgroupSize : 64;
  return {
    kernel: 'embedding',
    file: 'embedding.wgsl',
    defines: {
      TABLE: table.dtype,
      POSITIONS: positions !== undefined,
      POSITION: positions?.dtype ?? 'f32',
      RESULT: result.dtype,
      WORKGROUP: workgroupSize,
    },
    features: storageFeatures([table, result, ...(positions ? [positions] : [])]),
    access: ['read', 'read', ...(positions ? (['read'] as const) : []), 'write'],
    params: {
      rows: u32(rows),
      length: u32(ids.shape[1]!),
      columns: u32(table.shape[1]!),
      scale: f32(problem.scale),
      notANumber: u32(notANumberBits),
      tableRows: u32(problem.tableRows),
      windowStart: u32(problem.windowStart),
      windowRows: u32(table.shape[0]!),
      tableOffset: u32(table.offset),
      tableStride: u32(table.strides[0]!),
      idsOffset: u32(ids.offset),
      idsBatchStride: u32(ids.strides[0]!),
      idsStride: u32(ids.strides[1]!),
      positionsOffset: u32(positions?.offset ?? 0),
      positionsStride: u32(positions?.strides[0] ?? 0),
      resultOffset: u32(result.offset),
      resultBatchStride: u32(result.strides[0]!),
      resultStride: u32(result.strides[1]!),
    },
    workgroups: spreadWorkgroups(rows, traits),
  };
}
