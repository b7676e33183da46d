/** The ways to compute attention and the problems and adapters each is for. */
import { type AttentionProblem, areVectors, attentionKind, attentionLaunch } from './attention.js';
import { type AdapterTraits, type Launch, f32, spreadWorkgroups, u32 } from './kernel.js';
import { rowLanes } from './row_launch.js';
import type { Variant, VariantFamily } from './variant.js';

/** A way to compute attention. */
export interface AttentionVariant extends Variant<AttentionProblem> {
  launch(problem: AttentionProblem, traits: AdapterTraits): Launch;
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

/** What the tiled variants pass to their shaders: `rows` queries a workgroup, vectors of four where strides allow. */
function tiledLaunch(
  kernel: string,
  problem: AttentionProblem,
  rows: number,
  defines: Launch['defines'],
  subgroup: boolean,
  traits: AdapterTraits,
): Launch {
  const { query, key, value, result } = problem;
  const [batch, heads, queries, width] = query.shape as [number, number, number, number];
  const vectors = areVectors(width, [query, key, value, result]);
  const rowTiles = Math.ceil(queries / rows);
  const tiles = batch * heads * rowTiles;
  const launch = attentionLaunch(
    kernel,
    problem,
    { WIDTH: width, PARTS: Math.ceil(width / 4), VECTORS: vectors, ...defines },
    subgroup,
    spreadWorkgroups(tiles, traits),
  );
  const tiling = { tiles: u32(tiles), rowTiles: u32(rowTiles), minusInfinity: f32(-Infinity) };
  return { ...launch, params: { ...launch.params, ...tiling } };
}

/** Rows of heads stay in registers, so they may not be wide. */
const widestTiled = 128;

/** Whether there are enough queries for tiles of them. */
function isTileable({ query, key }: AttentionProblem): boolean {
  const [, , queries, width] = query.shape as [number, number, number, number];
  return queries >= 8 && key.shape[2]! > 0 && width <= widestTiled;
}

/** A tile of queries that meets blocks of keys. No more queries than keys: they pass through the same memory. */
interface MatrixTile {
  readonly rows: number;
  readonly keys: number;
}

/** From the most work a byte loaded to the least workgroup memory. */
const matrixTiles: readonly MatrixTile[] = [
  { rows: 32, keys: 32 },
  { rows: 16, keys: 32 },
  { rows: 16, keys: 16 },
];

/** How a shader for units is laid out: each subgroup has a matrix of queries, whose rows some lanes share. */
interface MatrixLayout extends MatrixTile {
  readonly subgroups: number;
  /** Lanes that share a row, a power of two. */
  readonly share: number;
  /** Floats for scores, then for the weighted sums of a block. */
  readonly sums: number;
}

/**
 * The layout for units for matrices, if the adapter has any that so many queries of heads so wide can be cut for. However many
 * there are in a batch: weights are rounded then.
 */
function matrixLayout(queries: number, width: number, traits: AdapterTraits): MatrixLayout | undefined {
  const { f16, matrixUnits, maxWorkgroupInvocations, maxWorkgroupStorageBytes } = traits;
  if (!f16 || !matrixUnits?.attend || width > widestTiled) return undefined;
  const { columns, depth, lanes } = matrixUnits;
  const share = lanes / matrixUnits.rows;
  const even = share >= 1 && [Math.log2(share), width / share].every(Number.isInteger);
  if (!even || width % columns !== 0 || width % depth !== 0) return undefined;
  const layouts = matrixTiles.map((tile) => ({
    ...tile,
    subgroups: tile.rows / matrixUnits.rows,
    share,
    sums: tile.rows * Math.max(tile.keys + 4, width),
  }));
  return layouts.find(({ rows, keys, subgroups, sums }) => {
    // With the padding of the shader; a factor and a total a row.
    const halves = keys * (width + 8) + rows * (keys + 8);
    const bytes = 2 * halves + 4 * (sums + 2 * rows);
    return (
      rows <= queries &&
      Number.isInteger(subgroups) &&
      [columns, depth, share].every((size) => keys % size === 0) &&
      subgroups * lanes <= maxWorkgroupInvocations &&
      bytes <= maxWorkgroupStorageBytes
    );
  });
}

/** Whether units for matrices compute the attention of so many queries of heads so wide, if it is of f16. */
export function attendsByMatrixUnits(queries: number, width: number, traits: AdapterTraits): boolean {
  return matrixLayout(queries, width, traits) !== undefined;
}

/** Units for matrices of f16. Weights are rounded to f16 as well, all sums are f32. */
const attentionMatrix: AttentionVariant = {
  name: 'attention_matrix',
  byMatrixUnits: true,
  canApply(problem, traits) {
    const { query, key, value } = problem;
    const narrow = [query, key, value].every(({ dtype }) => dtype === 'f16');
    return narrow && isTileable(problem) && attendsByMatrixUnits(query.shape[2]!, query.shape[3]!, traits);
  },
  launch(problem, traits) {
    const units = traits.matrixUnits!;
    const layout = matrixLayout(problem.query.shape[2]!, problem.query.shape[3]!, traits)!;
    const defines = {
      LANES: units.lanes,
      SUBGROUPS: layout.subgroups,
      ROWS: layout.rows,
      KEYS: layout.keys,
      SHARE: layout.share,
      SUMS: layout.sums,
      MATRIX_ROWS: units.rows,
      MATRIX_COLUMNS: units.columns,
      MATRIX_DEPTH: units.depth,
    };
    const launch = tiledLaunch(this.name, problem, layout.rows, defines, true, traits);
    return { ...launch, features: [...launch.features, 'chromium_experimental_subgroup_matrix'] };
  },
};

const attentionBroadcast: AttentionVariant = {
  name: 'attention_broadcast',
  canApply(problem, { software, subgroupSize }) {
    return software && subgroupSize >= 4 && subgroupSize <= 16 && isTileable(problem);
  },
  launch(problem, traits) {
    const lanes = traits.subgroupSize;
    const defines = {
      LANES: lanes,
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
    const defines = { LANES: tileLanes, KEYS: tileKeys(problem.query.shape[3]!) };
    return tiledLaunch(this.name, problem, tileLanes, defines, false, traits);
  },
};

export const attentionFamily: VariantFamily<AttentionProblem, AttentionVariant> = {
  name: 'attention',
  variants: [attentionMatrix, attentionBroadcast, attentionTile, attentionRow],
  kindOf({ query, key, causal }) {
    // Not the batch of f16: units round weights, and an entry must get the same whatever is beside it.
    const shape = query.dtype === 'f16' ? [1, 1, ...query.shape.slice(2)] : query.shape;
    return attentionKind({ ...query, shape }, key, causal);
  },
};
