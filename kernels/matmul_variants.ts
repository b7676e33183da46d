/** The ways to multiply matrices and the problems and adapters each is for. */
import type { AdapterTraits } from './kernel.js';
import { type MatmulProblem, type MatmulVariant, matmulLaunch, vectorDimension } from './matmul.js';

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
 * Rows of a broadcast tile. Each height is a program of its own to compile, so there are few; 24 is the fastest
 * where padding to it costs little, more rows spill registers.
 */
function broadcastRows(rows: number): number {
  if (rows <= 4) return 4;
  return rows <= 48 ? 16 : 24;
}

/** Subgroups that are the vectors of a CPU: broadcasts instead of loads. */
const matmulBroadcast: MatmulVariant = {
  name: 'matmul_broadcast',
  canApply: (_, { software, subgroupSize }) => software && subgroupSize >= 4,
  launch(problem, traits) {
    const lanes = traits.subgroupSize;
    const rows = broadcastRows(problem.left.shape[2]!);
    const defines = { ...depthVectors(problem), LANES: lanes, LOADS: Math.ceil(rows / lanes) };
    return matmulLaunch(this.name, problem, { tile: [rows, 4 * lanes], defines, subgroups: true }, traits);
  },
};

/** A tile through workgroup memory: square, `edge` results wide, `depth` deep, by a square of lanes. */
interface SharedTile {
  readonly edge: number;
  readonly depth: number;
  readonly lanes: number;
}

/** From the most work a byte loaded to the most workgroups. */
const sharedTiles: readonly SharedTile[] = [
  { edge: 128, depth: 16, lanes: 16 },
  { edge: 64, depth: 16, lanes: 16 },
  { edge: 32, depth: 32, lanes: 8 },
];

/** Workgroups that keep a large GPU busy; with fewer, a smaller tile is taken. */
const busyWorkgroups = 128;

function sharedTileFits({ edge, depth, lanes }: SharedTile, traits: AdapterTraits): boolean {
  // Both operands, with the padding of the shader.
  const bytes = 2 * depth * (edge / 4 + 1) * 16;
  return bytes <= traits.maxWorkgroupStorageBytes && lanes * lanes <= traits.maxWorkgroupInvocations;
}

function sharedTile({ result }: MatmulProblem, traits: AdapterTraits): SharedTile | undefined {
  const [outer, inner, rows, columns] = result.shape as [number, number, number, number];
  const fitting = sharedTiles.filter((tile) => sharedTileFits(tile, traits));
  const workgroups = ({ edge }: SharedTile): number =>
    Math.ceil(rows / edge) * Math.ceil(columns / edge) * outer * inner;
  return fitting.find((tile) => workgroups(tile) >= busyWorkgroups) ?? fitting.at(-1);
}

/** Tiles of both operands in workgroup memory, for GPUs. */
const matmulTile: MatmulVariant = {
  name: 'matmul_tile',
  canApply: (problem, traits) => !traits.software && sharedTile(problem, traits) !== undefined,
  launch(problem, traits) {
    const { edge, depth, lanes } = sharedTile(problem, traits)!;
    const defines = {
      LEFT_VECTOR: vectorDimension('left', problem.left),
      RIGHT_VECTOR: vectorDimension('right', problem.right),
      TILE_DEPTH: depth,
      LANES_DOWN: lanes,
      LANES_ACROSS: lanes,
      BLOCKS_DOWN: edge / (4 * lanes),
      BLOCKS_ACROSS: edge / (4 * lanes),
    };
    return matmulLaunch(this.name, problem, { tile: [edge, edge], defines }, traits);
  },
};

/** Any problem on any adapter. */
const matmulPlain: MatmulVariant = {
  name: 'matmul_plain',
  canApply: () => true,
  launch(problem, traits) {
    return matmulLaunch(this.name, problem, { tile: [32, 32], defines: {} }, traits);
  },
};

/** The ways to multiply, in the order in which they are tried. */
export const matmulVariants: readonly MatmulVariant[] = [
  matmulRows,
  matmulBroadcast,
  matmulTile,
  matmulPlain,
];
