import {
  type AdapterTraits,
  type Cost,
  type Launch,
  type Operand,
  f32,
  operandBytes,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';
import { rowLanes } from './row_launch.js';
import { type Variant, type VariantFamily, roughSizes } from './variant.js';

/** `result = softmax(scale * query keyᵀ + mask) value` per batch entry and head. */
export interface AttentionProblem {
  /** `[batch, heads, queries, width]`, width contiguous. */
  readonly query: Operand;
  /** `[batch, heads, keys, width]`, width contiguous. */
  readonly key: Operand;
  readonly value: Operand;
  /** Added to the scores: `[batch, heads, queries, keys]`, broadcast by strides of 0, keys contiguous. */
  readonly mask?: Operand | undefined;
  /** `[batch, keys]` u32: keys marked with anything but 0 are not seen. */
  readonly padding?: Operand | undefined;
  /** Whether query i sees the keys up to i alone. */
  readonly causal: boolean;
  readonly scale: number;
  readonly result: Operand;
}

/** A way to compute attention. */
export interface AttentionVariant extends Variant<AttentionProblem> {
  launch(problem: AttentionProblem, traits: AdapterTraits): Launch;
}

/** What every variant passes to its shader: strides and sizes. */
export function attentionLaunch(
  kernel: string,
  problem: AttentionProblem,
  defines: Launch['defines'],
  subgroup: boolean,
  workgroups: Launch['workgroups'],
): Launch {
  const { query, key, value, mask, padding, result } = problem;
  const [batch, heads, queries, width] = query.shape as [number, number, number, number];
  const inputs = [query, key, value, ...(mask ? [mask] : []), ...(padding ? [padding] : [])];
  return {
    kernel,
    file: `${kernel}.wgsl`,
    defines: {
      QUERY: query.dtype,
      KEY: key.dtype,
      VALUE: value.dtype,
      MASK: mask !== undefined,
      MASK_TYPE: mask?.dtype ?? 'f32',
      PADDING: padding !== undefined,
      CAUSAL: problem.causal,
      RESULT: result.dtype,
      ...defines,
    },
    features: [...storageFeatures([...inputs, result]), ...(subgroup ? (['subgroups'] as const) : [])],
    access: [...inputs.map(() => 'read' as const), 'write'],
    params: {
      rows: u32(batch * heads * queries),
      heads: u32(heads),
      queries: u32(queries),
      keys: u32(key.shape[2]!),
      width: u32(width),
      scale: f32(problem.scale),
      ...strideParameters('query', query),
      ...strideParameters('key', key),
      ...strideParameters('value', value),
      ...strideParameters('mask', mask),
      ...strideParameters('result', result),
      paddingOffset: u32(padding?.offset ?? 0),
      paddingBatchStride: u32(padding?.strides[0] ?? 0),
    },
    workgroups,
  };
}

/** Where an operand `[batch, heads, rows, columns]` lies; zeros for an absent one. */
export function strideParameters(name: string, operand: Operand | undefined): Launch['params'] {
  const [batch = 0, head = 0, row = 0] = operand?.strides ?? [];
  return {
    [`${name}Offset`]: u32(operand?.offset ?? 0),
    [`${name}BatchStride`]: u32(batch),
    [`${name}HeadStride`]: u32(head),
    [`${name}RowStride`]: u32(row),
  };
}

/** Whether rows of that width can be read as vectors of four components. */
export function areVectors(width: number, operands: readonly Operand[]): boolean {
  const aligned = ({ offset, strides }: Operand): boolean =>
    [offset, ...strides.slice(0, -1)].every((elements) => elements % 4 === 0);
  return width % 4 === 0 && operands.every(aligned);
}

const attentionRow: AttentionVariant = {
  name: 'attention_row',
  canApply: () => true,
  launch(problem, traits) {
    const [batch, heads, queries, width] = problem.query.shape as [number, number, number, number];
    const { lanes, subgroup } = rowLanes(traits);
    return attentionLaunch(
      this.name,
      problem,
      { WORKGROUP: lanes, SUBGROUP: subgroup, PARTS: Math.ceil(width / lanes) },
      subgroup,
      spreadWorkgroups(batch * heads * queries, traits),
    );
  },
};

/** What the tiled variants pass to their shaders: `lanes` queries a workgroup, vectors of four where strides allow. */
function tiledLaunch(
  kernel: string,
  problem: AttentionProblem,
  lanes: number,
  defines: Launch['defines'],
  subgroup: boolean,
  traits: AdapterTraits,
): Launch {
  const { query, key, value, result } = problem;
  const [batch, heads, queries, width] = query.shape as [number, number, number, number];
  const vectors = areVectors(width, [query, key, value, result]);
  const rowTiles = Math.ceil(queries / lanes);
  const tiles = batch * heads * rowTiles;
  const launch = attentionLaunch(
    kernel,
    problem,
    { LANES: lanes, WIDTH: width, PARTS: Math.ceil(width / 4), VECTORS: vectors, ...defines },
    subgroup,
    spreadWorkgroups(tiles, traits),
  );
  const tiling = { tiles: u32(tiles), rowTiles: u32(rowTiles), minusInfinity: f32(-Infinity) };
  return { ...launch, params: { ...launch.params, ...tiling } };
}

/** Whether there are enough queries for tiles of them; their rows stay in registers, so they may not be wide. */
function isTileable({ query, key }: AttentionProblem): boolean {
  const [, , queries, width] = query.shape as [number, number, number, number];
  return queries >= 8 && key.shape[2]! > 0 && width <= 128;
}

const attentionBroadcast: AttentionVariant = {
  name: 'attention_broadcast',
  canApply(problem, { software, subgroupSize }) {
    return software && subgroupSize >= 4 && subgroupSize <= 16 && isTileable(problem);
  },
  launch(problem, traits) {
    const lanes = traits.subgroupSize;
    const defines = {
      KEYS: Math.max(16, lanes),
      UNROLL: 4,
      COLUMN_GROUPS: Math.ceil(problem.query.shape[3]! / 4 / lanes),
    };
    return tiledLaunch(this.name, problem, lanes, defines, true, traits);
  },
};

const tileLanes = 64;

/** Keys a block: two blocks of them fill at most the 16 KiB of workgroup memory that every adapter has. */
function tileKeys(width: number): number {
  return width <= 64 ? 16 : 8;
}

const attentionTile: AttentionVariant = {
  name: 'attention_tile',
  // The many reads of workgroup memory take a software adapter minutes to compile.
  canApply(problem, traits) {
    return !traits.software && tileLanes <= traits.maxWorkgroupInvocations && isTileable(problem);
  },
  launch(problem, traits) {
    const keys = tileKeys(problem.query.shape[3]!);
    return tiledLaunch(this.name, problem, tileLanes, { KEYS: keys }, false, traits);
  },
};

export const attentionFamily: VariantFamily<AttentionProblem, AttentionVariant> = {
  name: 'attention',
  variants: [attentionBroadcast, attentionTile, attentionRow],
  kindOf: ({ query, key, causal }) => attentionKind(query, key, causal),
};

/** What the fastest way to compute attention or its gradients depends on. */
export function attentionKind(query: Operand, key: Operand, causal: boolean): string {
  const [batch, heads, queries, width] = query.shape as [number, number, number, number];
  const sizes = roughSizes({ batch: batch * heads, queries, keys: key.shape[2]!, width });
  return [query.dtype, key.dtype, ...(causal ? ['causal'] : []), sizes].join(' ');
}

export function attentionCost(problem: AttentionProblem): Cost {
  const [batch, heads, queries, width] = problem.query.shape as [number, number, number, number];
  const scores = batch * heads * queries * problem.key.shape[2]!;
  const operands = [problem.query, problem.key, problem.value, problem.result];
  return {
    flops: 4 * scores * width,
    bytes: operands.reduce((bytes, operand) => bytes + operandBytes(operand), 0),
  };
}
