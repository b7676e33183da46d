// For GPUs with units that multiply small matrices of f16: tiles of both operands pass through workgroup memory as f16,
// and each subgroup multiplies its part of them. A tile lies as its operand does, so that neighbours are written side by
// side: by rows (of depth, or of columns), or across.
//
// TILE_ROWS = SUBGROUPS_DOWN * MATRICES_DOWN * MATRIX_ROWS, TILE_COLUMNS likewise; TILE_DEPTH is a multiple of
// MATRIX_DEPTH and of 4.
#include "matmul_shared.wgsl"
#include "matmul_operands.wgsl"
#include "matmul_matrices.wgsl"

const lanes = ${SUBGROUPS_DOWN * SUBGROUPS_ACROSS * LANES}u;
// Eight more halves a row keep neighbouring rows on different memory banks.
#if LEFT_VECTOR == 'rows'
const left_pitch = ${TILE_ROWS + 8}u;
var<workgroup> left_tile: array<f16, ${TILE_DEPTH * (TILE_ROWS + 8)}>;
#else
const left_pitch = ${TILE_DEPTH + 8}u;
var<workgroup> left_tile: array<f16, ${TILE_ROWS * (TILE_DEPTH + 8)}>;
#end
#if RIGHT_VECTOR == 'columns'
const right_pitch = ${TILE_COLUMNS + 8}u;
var<workgroup> right_tile: array<f16, ${TILE_DEPTH * (TILE_COLUMNS + 8)}>;
#else
const right_pitch = ${TILE_DEPTH + 8}u;
var<workgroup> right_tile: array<f16, ${TILE_COLUMNS * (TILE_DEPTH + 8)}>;
#end
const matrix_size = ${MATRIX_ROWS * MATRIX_COLUMNS}u;
var<workgroup> sum_tile: array<f32, ${SUBGROUPS_DOWN * SUBGROUPS_ACROSS * MATRIX_ROWS * MATRIX_COLUMNS}>;

fn write_left(at: u32, values: vec4<f32>) {
#for i in 0..4
  left_tile[at + $i] = f16(values[$i]);
#end
}

fn write_right(at: u32, values: vec4<f32>) {
#for i in 0..4
  right_tile[at + $i] = f16(values[$i]);
#end
}

// Four steps of depth of a row; those past the end are zero, rows past it repeat the last one.
fn left_steps(base: u32, row: u32, k: u32) -> vec4<f32> {
  let at = base + min(row, params.rows - 1u) * params.leftRowStride + k * params.leftDepthStride;
  if (k + 4u <= params.depth) {
    return left_depth(at);
  }
  var steps = vec4<f32>();
  for (var j = 0u; k + j < params.depth; j++) {
    steps[j] = left_scalar(at + j * params.leftDepthStride);
  }
  return steps;
}

fn right_steps(base: u32, column: u32, k: u32) -> vec4<f32> {
  let at = base + min(column, params.columns - 1u) * params.rightColumnStride + k * params.rightDepthStride;
  if (k + 4u <= params.depth) {
    return right_depth(at);
  }
  var steps = vec4<f32>();
  for (var j = 0u; k + j < params.depth; j++) {
    steps[j] = right_scalar(at + j * params.rightDepthStride);
  }
  return steps;
}

fn load_left(base: u32, first_row: u32, start: u32, lane: u32) {
#if LEFT_VECTOR == 'rows'
  for (var index = lane; index < ${TILE_DEPTH * TILE_ROWS / 4}u; index += lanes) {
    let k = index / ${TILE_ROWS / 4}u;
    let row = index % ${TILE_ROWS / 4}u * 4u;
    var values = vec4<f32>();
    if (start + k < params.depth) {
      values = left_vector(base + min(first_row + row, (params.rows - 1u) & ~3u) + (start + k) * params.leftDepthStride);
    }
    write_left(k * left_pitch + row, values);
  }
#else
  for (var index = lane; index < ${TILE_ROWS * TILE_DEPTH / 4}u; index += lanes) {
    let row = index / ${TILE_DEPTH / 4}u;
    let k = index % ${TILE_DEPTH / 4}u * 4u;
    write_left(row * left_pitch + k, left_steps(base, first_row + row, start + k));
  }
#end
}

fn load_right(base: u32, first_column: u32, start: u32, lane: u32) {
#if RIGHT_VECTOR == 'columns'
  for (var index = lane; index < ${TILE_DEPTH * TILE_COLUMNS / 4}u; index += lanes) {
    let k = index / ${TILE_COLUMNS / 4}u;
    let column = index % ${TILE_COLUMNS / 4}u * 4u;
    var values = vec4<f32>();
    if (start + k < params.depth) {
      values = right_vector(base + min(first_column + column, (params.columns - 1u) & ~3u) + (start + k) * params.rightDepthStride);
    }
    write_right(k * right_pitch + column, values);
  }
#else
  for (var index = lane; index < ${TILE_COLUMNS * TILE_DEPTH / 4}u; index += lanes) {
    let column = index / ${TILE_DEPTH / 4}u;
    let k = index % ${TILE_DEPTH / 4}u * 4u;
    write_right(column * right_pitch + k, right_steps(base, first_column + column, start + k));
  }
#end
}

// A finished matrix, which begins at this row and column: through workgroup memory, since lanes cannot tell which of its
// elements they hold.
fn finish(sums: SumMatrix, offsets: BatchOffsets, first_row: u32, first_column: u32, subgroup: u32, lane: u32) {
  store_sums(subgroup * matrix_size, ${MATRIX_COLUMNS}u, sums);
  workgroupBarrier();
  for (var i = lane % ${LANES}u; i < matrix_size; i += ${LANES}u) {
    let row = first_row + i / ${MATRIX_COLUMNS}u;
    let column = first_column + i % ${MATRIX_COLUMNS}u;
    if (row < params.rows && column < params.columns) {
      store(offsets, row, column, sum_tile[subgroup * matrix_size + i]);
    }
  }
  workgroupBarrier();
}

@compute @workgroup_size(${SUBGROUPS_DOWN * SUBGROUPS_ACROSS * LANES})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = tile_of(group, count);
  if (tile.batch >= params.batches) {
    return;
  }
  let offsets = batch_offsets(tile.batch);
  let subgroup = lane / ${LANES}u;
  let own_row = subgroup / ${SUBGROUPS_ACROSS}u * ${MATRICES_DOWN * MATRIX_ROWS}u;
  let own_column = subgroup % ${SUBGROUPS_ACROSS}u * ${MATRICES_ACROSS * MATRIX_COLUMNS}u;
#for r in 0..MATRICES_DOWN
#for c in 0..MATRICES_ACROSS
  var sums_${r}_$c: SumMatrix;
#end
#end
  for (var start = 0u; start < params.depth; start += ${TILE_DEPTH}u) {
    load_left(offsets.left, tile.row, start, lane);
    load_right(offsets.right, tile.column, start, lane);
    workgroupBarrier();
#for s in 0..TILE_DEPTH/MATRIX_DEPTH
#for r in 0..MATRICES_DOWN
#if LEFT_VECTOR == 'rows'
    let left_${s}_$r = left_matrix(${s * MATRIX_DEPTH}u * left_pitch + own_row + ${r * MATRIX_ROWS}u);
#else
    let left_${s}_$r = left_matrix((own_row + ${r * MATRIX_ROWS}u) * left_pitch + ${s * MATRIX_DEPTH}u);
#end
#end
#for c in 0..MATRICES_ACROSS
#if RIGHT_VECTOR == 'columns'
    let right_${s}_$c = right_matrix(${s * MATRIX_DEPTH}u * right_pitch + own_column + ${c * MATRIX_COLUMNS}u);
#else
    let right_${s}_$c = right_matrix((own_column + ${c * MATRIX_COLUMNS}u) * right_pitch + ${s * MATRIX_DEPTH}u);
#end
#for r in 0..MATRICES_DOWN
    sums_${r}_$c = with_product(sums_${r}_$c, left_${s}_$r, right_${s}_$c);
#end
#end
#end
    workgroupBarrier();
  }
#for r in 0..MATRICES_DOWN
#for c in 0..MATRICES_ACROSS
  finish(
    sums_${r}_$c,
    offsets,
    tile.row + own_row + ${r * MATRIX_ROWS}u,
    tile.column + own_column + ${c * MATRIX_COLUMNS}u,
    subgroup,
    lane,
  );
#end
#end
}
