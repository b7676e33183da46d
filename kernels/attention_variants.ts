/** The ways to compute attention and the problems and adapters each is for. */
import { type AttentionProblem, areVectors, attentionKind, attentionLaunch } from './attention.js';
import {
  type MatrixLayout,
  type MatrixTile,
  matrixDefines,
  matrixLayouts,
  widestTiled,
} from './attention_units.js';
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

/** Whether there are enough queries for tiles of them. */
function isTileable({ query, key }: AttentionProblem): boolean {
  const [, , queries, width] = query.shape as [number, number, number, number];
  return queries >= 8 && key.shape[2]! > 0 && width <= widestTiled;
}

/** From the most work a byte loaded to the least workgroup memory; the queries pass through that of the keys. */
const matrixTiles: readonly MatrixTile[] = [
  { rows: 32, met: 32 },
  { rows: 16, met: 32 },
  { rows: 16, met: 16 },
];

/** Floats for scores, then for the weighted sums of a block. */
const matrixSums = ({ rows, met }: MatrixTile, width: number): number => rows * Math.max(met + 4, width);

/**
 * The layout for units for matrices, if the adapter has any that so many queries of heads so wide can be cut for. However many
 * there are in a batch: weights are rounded then.
 */
function matrixLayout(queries: number, width: number, traits: AdapterTraits): MatrixLayout | undefined {
  if (!traits.matrixUnits?.attend) return undefined;
  return matrixLayouts(matrixTiles, width, traits, (tile) => {
    // With the padding of the shader; a factor and a total a row.
    const halves = tile.met * (width + 8) + tile.rows * (tile.met + 8);
    return 2 * halves + 4 * (matrixSums(tile, width) + 2 * tile.rows);
  }).find(({ rows }) => rows <= queries);
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
    const width = problem.query.shape[3]!;
    const layout = matrixLayout(problem.query.shape[2]!, width, traits)!;
    const defines = {
      ...matrixDefines(layout, traits.matrixUnits!),
      ROWS: layout.rows,
      KEYS: layout.met,
      TOKENS: layout.met,
      SUMS: matrixSums(layout, width),
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
      UNROLL: 2,
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
