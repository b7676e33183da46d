/** The ways to multiply matrices and the problems and adapters each is for. */
import type { AdapterTraits } from './kernel.js';
import {
  type MatmulProblem,
  type MatmulVariant,
  matmulLaunch,
  takesMatrixUnits,
  vectorDimension,
} from './matmul.js';
import { type TiledVariant, busyWorkgroups, splitsOf, tileCount } from './matmul_split.js';
import { type VariantFamily, roughSizes } from './variant.js';

/** How operands whose neighbours along depth are wanted are bound; the right one may also come by columns. */
function depthVectors(problem: MatmulProblem): { LEFT_VECTOR: string; RIGHT_VECTOR: string } {
  const left = vectorDimension('left', problem.left);
  return {
    LEFT_VECTOR: left === 'rows' ? 'none' : left,
    RIGHT_VECTOR: vectorDimension('right', problem.right),
  };
}

/** Few rows on a GPU: reading the right operand takes all the time. */
const matmulRows: MatmulVariant = {
  name: 'matmul_rows',
  canApply: ({ left }, { software }) => !software && left.shape[2]! <= 8,
  launch(problem, traits) {
    const rows = [1, 2, 4].find((size) => problem.left.shape[2]! <= size) ?? 8;
    const defines = { ...depthVectors(problem), LANES: 64 };
    return matmulLaunch(this.name, problem, { tile: [rows, 4], defines }, traits);
  },
};

/**
 * Rows of a broadcast tile. Each height is a program of its own to compile, so few are expected to be the fastest; 24
 * is where padding to it costs little, more rows spill registers on some CPUs.
 */
const broadcastHeights = [4, 8, 16, 24, 32] as const;

function expectedHeight(rows: number): number {
  if (rows <= 4) return 4;
  return rows <= 48 ? 16 : 24;
}

/** Subgroups that are the vectors of a CPU: broadcasts instead of loads. */
const matmulBroadcasts = broadcastHeights.map((height): MatmulVariant => ({
  name: `matmul_broadcast_${height}`,
  canApply({ left }, { software, subgroupSize }) {
    const rows = left.shape[2]!;
    const inReach = height <= expectedHeight(rows) || height < 2 * rows;
    return software && subgroupSize >= 4 && inReach;
  },
  suits: ({ left }) => height === expectedHeight(left.shape[2]!),
  launch(problem, traits) {
    const lanes = traits.subgroupSize;
    const defines = {
      ...depthVectors(problem),
      LANES: lanes,
      LOADS: Math.ceil(height / lanes),
      // A fifth of the program, which no layer of a model needs.
      REST: problem.left.shape[3]! % 4 !== 0,
    };
    return matmulLaunch(
      'matmul_broadcast',
      problem,
      { tile: [height, 4 * lanes], defines, features: ['subgroups'] },
      traits,
    );
  },
}));

/** A tile through workgroup memory: square, `edge` results wide, `depth` deep, by a square of lanes. */
interface SharedTile {
  readonly edge: number;
  readonly depth: number;
  readonly lanes: number;
}

/** The largest tile that leaves enough workgroups, else the smallest. */
function mostBusy<Tile extends { readonly edge: number }>(
  tiles: readonly Tile[],
  problem: MatmulProblem,
): Tile | undefined {
  return tiles.find(({ edge }) => tileCount(problem, edge) >= busyWorkgroups) ?? tiles.at(-1);
}

/** From the most work a byte loaded to the most workgroups. */
const sharedTiles: readonly SharedTile[] = [
  { edge: 128, depth: 16, lanes: 16 },
  { edge: 64, depth: 16, lanes: 16 },
  { edge: 32, depth: 32, lanes: 8 },
];

function sharedTileFits({ edge, depth, lanes }: SharedTile, traits: AdapterTraits): boolean {
  // Both operands, with the padding of the shader.
  const bytes = 2 * depth * (edge / 4 + 1) * 16;
  return bytes <= traits.maxWorkgroupStorageBytes && lanes * lanes <= traits.maxWorkgroupInvocations;
}

function expectedTile(problem: MatmulProblem, traits: AdapterTraits): SharedTile | undefined {
  return mostBusy(
    sharedTiles.filter((tile) => sharedTileFits(tile, traits)),
    problem,
  );
}

/** Tiles of both operands in workgroup memory, for GPUs. */
const matmulTiles = sharedTiles.map((tile): TiledVariant => ({
  name: `matmul_tile_${tile.edge}`,
  edge: tile.edge,
  canApply: (_, traits) => !traits.software && sharedTileFits(tile, traits),
  suits: (problem, traits) => tile === expectedTile(problem, traits),
  launch(problem, traits) {
    const { edge, depth, lanes } = tile;
    const defines = {
      LEFT_VECTOR: vectorDimension('left', problem.left),
      RIGHT_VECTOR: vectorDimension('right', problem.right),
      TILE_DEPTH: depth,
      LANES_DOWN: lanes,
      LANES_ACROSS: lanes,
      BLOCKS_DOWN: edge / (4 * lanes),
      BLOCKS_ACROSS: edge / (4 * lanes),
    };
    return matmulLaunch('matmul_tile', problem, { tile: [edge, edge], defines }, traits);
  },
}));

/** A square tile, `edge` results wide, of as many subgroups down as across. */
interface MatrixTile {
  readonly edge: number;
  readonly subgroups: number;
}

const matrixTiles: readonly MatrixTile[] = [
  { edge: 128, subgroups: 2 },
  { edge: 64, subgroups: 2 },
  { edge: 32, subgroups: 1 },
];

const matrixTileDepth = 32;

function matrixTileFits({ edge, subgroups }: MatrixTile, traits: AdapterTraits): boolean {
  const { matrixUnits, maxWorkgroupInvocations, maxWorkgroupStorageBytes } = traits;
  if (!matrixUnits) return false;
  const { rows, columns, depth, lanes } = matrixUnits;
  const part = edge / subgroups;
  // Both operands with the padding of the shader, whichever way they lie, and a matrix of sums a subgroup.
  const halves = 2 * Math.max(edge * (matrixTileDepth + 8), matrixTileDepth * (edge + 8));
  const bytes = 2 * halves + 4 * subgroups ** 2 * rows * columns;
  return (
    part % rows === 0 &&
    part % columns === 0 &&
    matrixTileDepth % depth === 0 &&
    subgroups ** 2 * lanes <= maxWorkgroupInvocations &&
    bytes <= maxWorkgroupStorageBytes
  );
}

/**
 * Units for matrices of f16, where the weights are no wider or may be rounded. What they multiply is rounded to f16 as well, by
 * every variant then, as PyTorch's mixed precision does.
 */
const matmulMatrices = matrixTiles.map((tile): TiledVariant => ({
  name: `matmul_matrix_${tile.edge}`,
  edge: tile.edge,
  byMatrixUnits: true,
  canApply: (problem, traits) => takesMatrixUnits(problem, traits) && matrixTileFits(tile, traits),
  suits: (problem, traits) =>
    tile ===
    mostBusy(
      matrixTiles.filter((other) => matrixTileFits(other, traits)),
      problem,
    ),
  launch(problem, traits) {
    const { rows, columns, depth, lanes } = traits.matrixUnits!;
    const { edge, subgroups } = tile;
    const [left, right] = [vectorDimension('left', problem.left), vectorDimension('right', problem.right)];
    const defines = {
      LEFT_VECTOR: left,
      RIGHT_VECTOR: right,
      LEFT_ORDER: left === 'rows' ? 'col_major' : 'row_major',
      RIGHT_ORDER: right === 'columns' ? 'row_major' : 'col_major',
      TILE_DEPTH: matrixTileDepth,
      LANES: lanes,
      SUBGROUPS_DOWN: subgroups,
      SUBGROUPS_ACROSS: subgroups,
      MATRIX_ROWS: rows,
      MATRIX_COLUMNS: columns,
      MATRIX_DEPTH: depth,
      MATRICES_DOWN: edge / subgroups / rows,
      MATRICES_ACROSS: edge / subgroups / columns,
    };
    const features = ['f16', 'subgroups', 'chromium_experimental_subgroup_matrix'] as const;
    return matmulLaunch('matmul_matrix', problem, { tile: [edge, edge], defines, features }, traits);
  },
}));

/** Any problem on any adapter. */
const matmulPlain: MatmulVariant = {
  name: 'matmul_plain',
  canApply: () => true,
  launch(problem, traits) {
    const defines = { LEFT_VECTOR: 'none', RIGHT_VECTOR: problem.right.dtype === 'q8' ? 'depth' : 'none' };
    return matmulLaunch(this.name, problem, { tile: [32, 32], defines }, traits);
  },
};

export const matmulFamily: VariantFamily<MatmulProblem, MatmulVariant> = {
  name: 'matmul',
  variants: [
    matmulRows,
    ...splitsOf(matmulMatrices),
    ...matmulMatrices,
    ...matmulBroadcasts,
    ...splitsOf(matmulTiles),
    ...matmulTiles,
    matmulPlain,
  ],
  kindOf({ left, right, halves, result }) {
    const [outer, inner, rows, depth] = left.shape as [number, number, number, number];
    const layouts = [vectorDimension('left', left), vectorDimension('right', right)];
    const sizes = roughSizes({ batch: outer * inner, rows, depth, columns: right.shape[3]! });
    const types = [
      left.dtype,
      right.dtype,
      ...(halves && right.dtype === 'f32' ? ['halves'] : []),
      result.dtype,
    ];
    return [...types, ...layouts, sizes].join(' ');
  },
};
