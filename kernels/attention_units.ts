/** How attention and its gradients are cut for units that multiply small matrices. */
import type { AdapterTraits, Launch, MatrixSizes } from './kernel.js';

/** Rows of heads stay in registers, so they may not be wide. */
export const widestTiled = 128;

/** Rows that a workgroup owns, and how many of the others they meet at once. */
export interface MatrixTile {
  readonly rows: number;
  readonly met: number;
}

/** A tile of which each subgroup has a matrix of rows. Some lanes share a row. */
export interface MatrixLayout extends MatrixTile {
  readonly subgroups: number;
  /** Lanes that share a row, a power of two. */
  readonly share: number;
}

/**
 * The tiles that the adapter's units can be used for in heads so wide, in the order given.
 * @param bytesOf workgroup memory that the shader of a tile needs
 */
export function matrixLayouts(
  tiles: readonly MatrixTile[],
  width: number,
  { f16, matrixUnits, maxWorkgroupInvocations, maxWorkgroupStorageBytes }: AdapterTraits,
  bytesOf: (tile: MatrixTile) => number,
): MatrixLayout[] {
  if (!f16 || !matrixUnits || width > widestTiled) return [];
  const { columns, depth, lanes } = matrixUnits;
  const share = lanes / matrixUnits.rows;
  const parts = [Math.log2(share), width / share, width / columns, width / depth];
  if (share < 1 || !parts.every(Number.isInteger)) return [];
  return tiles
    .map((tile) => ({ ...tile, subgroups: tile.rows / matrixUnits.rows, share }))
    .filter(
      ({ subgroups, ...tile }) =>
        Number.isInteger(subgroups) &&
        [columns, depth, share].every((size) => tile.met % size === 0) &&
        subgroups * lanes <= maxWorkgroupInvocations &&
        bytesOf(tile) <= maxWorkgroupStorageBytes,
    );
}

/** What a layout and the units' sizes are called in shaders. */
export function matrixDefines(
  { subgroups, share }: MatrixLayout,
  { rows, columns, depth, lanes }: MatrixSizes,
): Launch['defines'] {
  return {
    LANES: lanes,
    SUBGROUPS: subgroups,
    SHARE: share,
    MATRIX_ROWS: rows,
    MATRIX_COLUMNS: columns,
    MATRIX_DEPTH: depth,
  };
}
