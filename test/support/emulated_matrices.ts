/** Units for small matrices on adapters that have none. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll } from '@jest/globals';
import type { AdapterTraits, Launch, Variant } from '../../kernels/index.js';

/**
 * Stands for `matmul_matrices.wgsl` where an adapter has no such units: every lane multiplies all that its subgroup does.
 * Matrices are places in the tiles, and sums lie together by their row and column, since arrays that are passed on take
 * minutes to compile.
 */
const matmulMatrices = `
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

fn store_sums(at: u32, pitch: u32, sums: SumMatrix) {
  for (var i = 0u; i < unknown(\${MATRIX_ROWS * MATRIX_COLUMNS}u); i++) {
    let place = vec2<u32>(i / \${MATRIX_COLUMNS}u, i % \${MATRIX_COLUMNS}u);
    sum_tile[at + place.x * pitch + place.y] = all_sums[(sums.row + place.x) * \${TILE_COLUMNS}u + sums.column + place.y];
  }
}
`;

/**
 * Stands for `attention_matrices.wgsl`. Queries are copied, since others take their place in the tile; one matrix of sums
 * is added up at a time.
 */
const attentionMatrices = `
fn unknown(end: u32) -> u32 {
  return min(end, end - 1u + params.heads);
}

struct LeftMatrix { at: u32, weights: bool }
struct RightMatrix { at: u32, steps: vec2<u32> }
struct SumMatrix { begun: bool }

var<private> queries: array<f16, \${MATRIX_ROWS * WIDTH}>;
var<private> all_sums: array<f32, \${MATRIX_ROWS * MATRIX_COLUMNS}>;

fn query_matrix(at: u32) -> LeftMatrix {
  let column = at % token_pitch;
  for (var i = 0u; i < unknown(\${MATRIX_ROWS * MATRIX_DEPTH}u); i++) {
    let place = vec2<u32>(i / \${MATRIX_DEPTH}u, i % \${MATRIX_DEPTH}u);
    queries[place.x * \${WIDTH}u + column + place.y] = token_tile[at + place.x * token_pitch + place.y];
  }
  return LeftMatrix(column, false);
}

fn key_matrix(at: u32) -> RightMatrix {
  return RightMatrix(at, vec2<u32>(1u, token_pitch));
}

fn weight_matrix(at: u32) -> LeftMatrix {
  return LeftMatrix(at, true);
}

fn value_matrix(at: u32) -> RightMatrix {
  return RightMatrix(at, vec2<u32>(token_pitch, 1u));
}

fn with_product(sums: SumMatrix, left: LeftMatrix, right: RightMatrix) -> SumMatrix {
  for (var i = 0u; i < unknown(\${MATRIX_ROWS * MATRIX_COLUMNS}u); i++) {
    let place = vec2<u32>(i / \${MATRIX_COLUMNS}u, i % \${MATRIX_COLUMNS}u);
    var sum = 0.0;
    for (var k = 0u; k < unknown(\${MATRIX_DEPTH}u); k++) {
      var own: f16;
      if (left.weights) {
        own = weight_tile[left.at + place.x * weight_pitch + k];
      } else {
        own = queries[left.at + place.x * \${WIDTH}u + k];
      }
      sum += f32(own) * f32(token_tile[right.at + dot(vec2<u32>(k, place.y), right.steps)]);
    }
    all_sums[i] = select(0.0, all_sums[i], sums.begun) + sum;
  }
  return SumMatrix(true);
}

fn store_sums(at: u32, pitch: u32, sums: SumMatrix) {
  for (var i = 0u; i < unknown(\${MATRIX_ROWS * MATRIX_COLUMNS}u); i++) {
    sum_tile[at + i / \${MATRIX_COLUMNS}u * pitch + i % \${MATRIX_COLUMNS}u] = all_sums[i];
  }
}
`;

const standIns = { matmul: matmulMatrices, attention: attentionMatrices };

/** What makes launches that are for such units run without them; others stay as they are. */
export function useEmulatedMatrices(): (launch: Launch) => Launch {
  const folder = mkdtempSync(join(tmpdir(), 'clip4str-matrices-'));
  const files = new Map<string, string>();
  for (const [name, standIn] of Object.entries(standIns)) {
    const file = `${name}_matrix.wgsl`;
    const real = readFileSync(new URL(`../../kernels/${file}`, import.meta.url), 'utf8');
    writeFileSync(join(folder, file), real.replace(`#include "${name}_matrices.wgsl"`, standIn));
    files.set(file, pathToFileURL(join(folder, file)).href);
  }
  afterAll(() => rmSync(folder, { recursive: true }));
  return (launch) => {
    const file = files.get(launch.file);
    if (file === undefined) return launch;
    const features = launch.features.filter((name) => name !== 'chromium_experimental_subgroup_matrix');
    return { ...launch, file, features };
  };
}

/** A variant whose launches are changed. */
export function withLaunches<Problem>(
  variant: Way<Problem>,
  change: (launch: Launch) => Launch,
): Way<Problem> {
  return { ...variant, launch: (problem, traits) => change(variant.launch(problem, traits)) };
}

type Way<Problem> = Variant<Problem> & {
  launch(problem: Problem, traits: AdapterTraits): Launch;
};
