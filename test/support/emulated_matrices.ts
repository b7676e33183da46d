/** Units for small matrices on adapters that have none. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll } from '@jest/globals';
import type { MatmulVariant } from '../../kernels/index.js';

/**
 * Stands for `subgroup_matrix.wgsl` where an adapter has no such units: every lane multiplies all that its subgroup does.
 * Matrices are places in the tiles, and sums lie together by their row and column, since arrays that are passed on take
 * minutes to compile.
 */
const emulatedMatrices = `
// Compilers unroll loops whose ends they know.
fn unknown(end: u32) -> u32 {
  return min(end, end - 1u + params.batches);
}

struct LeftMatrix { at: u32 }
struct RightMatrix { at: u32 }
struct SumMatrix { row: u32, column: u32 }

var<private> all_sums: array<f32, \${TILE_ROWS * TILE_COLUMNS}>;

fn left_matrix(at: u32) -> LeftMatrix {
  return LeftMatrix(at);
}

fn right_matrix(at: u32) -> RightMatrix {
  return RightMatrix(at);
}

fn with_product(sums: SumMatrix, left: LeftMatrix, right: RightMatrix) -> SumMatrix {
#if LEFT_ORDER == 'row_major'
  let left_steps = vec2<u32>(left_pitch, 1u);
  let row = left.at / left_pitch;
#else
  let left_steps = vec2<u32>(1u, left_pitch);
  let row = left.at % left_pitch;
#end
#if RIGHT_ORDER == 'row_major'
  let right_steps = vec2<u32>(right_pitch, 1u);
  let column = right.at % right_pitch;
#else
  let right_steps = vec2<u32>(1u, right_pitch);
  let column = right.at / right_pitch;
#end
  for (var i = 0u; i < unknown(\${MATRIX_ROWS * MATRIX_COLUMNS}u); i++) {
    let place = vec2<u32>(i / \${MATRIX_COLUMNS}u, i % \${MATRIX_COLUMNS}u);
    var sum = 0.0;
    for (var k = 0u; k < unknown(\${MATRIX_DEPTH}u); k++) {
      sum += f32(left_tile[left.at + dot(vec2<u32>(place.x, k), left_steps)]) *
        f32(right_tile[right.at + dot(vec2<u32>(k, place.y), right_steps)]);
    }
    all_sums[(row + place.x) * \${TILE_COLUMNS}u + column + place.y] += sum;
  }
  return SumMatrix(row, column);
}

fn store_sums(at: u32, sums: SumMatrix) {
  for (var i = 0u; i < unknown(\${MATRIX_ROWS * MATRIX_COLUMNS}u); i++) {
    let place = vec2<u32>(i / \${MATRIX_COLUMNS}u, i % \${MATRIX_COLUMNS}u);
    sum_tile[at + i] = all_sums[(sums.row + place.x) * \${TILE_COLUMNS}u + sums.column + place.y];
  }
}
`;

/** What makes variants of `matmul_matrix` run without such units. */
export function useEmulatedMatrices(): (variant: MatmulVariant) => MatmulVariant {
  const folder = mkdtempSync(join(tmpdir(), 'clip4str-matrices-'));
  const file = join(folder, 'matmul_matrix.wgsl');
  const real = readFileSync(new URL('../../kernels/matmul_matrix.wgsl', import.meta.url), 'utf8');
  writeFileSync(file, real.replace('#include "subgroup_matrix.wgsl"', emulatedMatrices));
  afterAll(() => rmSync(folder, { recursive: true }));
  return (variant) => ({
    ...variant,
    launch: (problem, traits) => ({
      ...variant.launch(problem, traits),
      file: pathToFileURL(file).href,
      features: ['f16'],
    }),
  });
}
