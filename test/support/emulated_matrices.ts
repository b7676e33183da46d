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
  return end + (params.batches >> 31u);
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
 * Stands for `attention_matrices.wgsl`: each lane of a subgroup has up to four elements of its sums. Own tokens are copied,
 * since others take their place in the tile.
 */
const attentionMatrices = `
fn unknown(end: u32) -> u32 {
  return end + (params.heads >> 31u);
}

struct LeftMatrix { at: u32, weights: bool }
struct RightMatrix { at: u32, steps: vec2<u32> }
struct SumMatrix { shares: vec4<f32> }

var<private> lane_of_subgroup: u32;
var<workgroup> own_tokens: array<f16, \${OWN_OPERANDS * OWN_ROWS * WIDTH}>;
var<private> owned: u32;

fn own_matrix(at: u32) -> LeftMatrix {
  let first = owned / \${WIDTH / MATRIX_DEPTH}u * \${OWN_ROWS * WIDTH}u;
  let to = first + at / token_pitch * \${WIDTH}u + at % token_pitch;
  owned++;
  for (var i = lane_of_subgroup; i < \${MATRIX_ROWS * MATRIX_DEPTH}u; i += \${LANES}u) {
    let place = vec2<u32>(i / \${MATRIX_DEPTH}u, i % \${MATRIX_DEPTH}u);
    own_tokens[to + place.x * \${WIDTH}u + place.y] = token_tile[at + place.x * token_pitch + place.y];
  }
  return LeftMatrix(to, false);
}

fn met_matrix(at: u32) -> RightMatrix {
  return RightMatrix(at, vec2<u32>(token_pitch, 1u));
}

fn met_matrix_transposed(at: u32) -> RightMatrix {
  return RightMatrix(at, vec2<u32>(1u, token_pitch));
}

fn left_element(left: LeftMatrix, row: u32, column: u32) -> f32 {
  if (left.weights) {
    return weight_at(left.at, row, column);
  }
  return f32(own_tokens[left.at + row * \${WIDTH}u + column]);
}

// Row and column of one of the lane's elements.
fn place_in_sums(share: u32) -> vec2<u32> {
  let i = share * \${LANES}u + lane_of_subgroup;
  return vec2<u32>(i / \${MATRIX_COLUMNS}u, i % \${MATRIX_COLUMNS}u);
}

fn with_product(sums: SumMatrix, left: LeftMatrix, right: RightMatrix) -> SumMatrix {
  var shares = sums.shares;
  for (var k = 0u; k < unknown(\${MATRIX_DEPTH}u); k++) {
#for n in 0..MATRIX_ROWS * MATRIX_COLUMNS / LANES
    let place_$n = place_in_sums(\${n}u);
    shares[$n] += left_element(left, place_$n.x, k) * f32(token_tile[right.at + dot(vec2<u32>(k, place_$n.y), right.steps)]);
#end
  }
  return SumMatrix(shares);
}

fn store_sums(at: u32, pitch: u32, sums: SumMatrix) {
#for n in 0..MATRIX_ROWS * MATRIX_COLUMNS / LANES
  let place_$n = place_in_sums(\${n}u);
  sum_tile[at + place_$n.x * pitch + place_$n.y] = sums.shares[$n];
#end
}

#if OF == 'statistics'
fn weight_at(at: u32, row: u32, column: u32) -> f32 {
  return 0.0;
}
#end
`;

/** Stands for `attention_weight_matrices.wgsl`. */
const attentionWeightMatrices = `
fn weight_matrix(at: u32) -> LeftMatrix {
  return LeftMatrix(at, true);
}

fn weight_at(at: u32, row: u32, column: u32) -> f32 {
  return f32(weight_tile[at + row * weight_pitch + column]);
}
`;

const standIns: Readonly<Record<string, string>> = {
  'matmul_matrices.wgsl': matmulMatrices,
  'attention_matrices.wgsl': attentionMatrices,
  'attention_weight_matrices.wgsl': attentionWeightMatrices,
};

/** Entry points alone are told their lane: where those of attention begin. */
const entry = '  let tile = workgroup_index(group, groups);';
const noteLane = '  lane_of_subgroup = lane % $LANES;';

const emulatedFiles = [
  'matmul_matrix.wgsl',
  'attention_matrix.wgsl',
  'attention_statistics_matrix.wgsl',
  'attention_backward_matrix.wgsl',
];

/** What makes launches that are for such units run without them; others stay as they are. */
export function useEmulatedMatrices(): (launch: Launch) => Launch {
  const folder = mkdtempSync(join(tmpdir(), 'clip4str-matrices-'));
  const files = new Map<string, string>();
  for (const file of emulatedFiles) {
    const real = readFileSync(new URL(`../../kernels/${file}`, import.meta.url), 'utf8');
    const text = real.replace(/^#include "(.*)"$/gm, (line, included: string) => standIns[included] ?? line);
    writeFileSync(join(folder, file), text.replace(entry, `${noteLane}\n${entry}`));
    files.set(file, pathToFileURL(join(folder, file)).href);
  }
  afterAll(() => rmSync(folder, { recursive: true }));
  return (launch) => {
    const file = files.get(launch.file);
    if (file === undefined) return launch;
    const features = launch.features.filter((name) => name !== 'chromium_experimental_subgroup_matrix');
    const { OF = 'attention', OWN, ROWS } = launch.defines;
    const owned = { OWN_OPERANDS: OF === 'query' || OF === 'key_value' ? 2 : 1, OWN_ROWS: OWN ?? ROWS ?? 0 };
    const defines = { ...launch.defines, OF, ...owned };
    return { ...launch, file, features, defines };
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
