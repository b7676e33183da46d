// For GPUs: tiles of both operands pass through workgroup memory. An invocation computes a grid of 4 x 4 blocks,
// BLOCKS_DOWN x BLOCKS_ACROSS, spaced so that the lanes of a subgroup read neighbouring vec4 of the tiles. Operands
// are fetched in 4 x 4 blocks too and turned in registers, so that storage and workgroup memory see only vec4.
//
// TILE_ROWS = 4 * BLOCKS_DOWN * LANES_DOWN, TILE_COLUMNS likewise; TILE_DEPTH is a multiple of 8.
#include "matmul_shared.wgsl"
#include "matmul_operands.wgsl"

// One vec4 of padding a step keeps lanes that write different steps on different memory banks.
const left_pitch = ${TILE_ROWS / 4 + 1}u;
const right_pitch = ${TILE_COLUMNS / 4 + 1}u;
const left_blocks = ${TILE_ROWS / 4 * (TILE_DEPTH / 4)}u;
const right_blocks = ${TILE_COLUMNS / 4 * (TILE_DEPTH / 4)}u;

// By step of depth, then by four rows or columns.
var<workgroup> left_tile: array<vec4<f32>, ${TILE_DEPTH * (TILE_ROWS / 4 + 1)}>;
var<workgroup> right_tile: array<vec4<f32>, ${TILE_DEPTH * (TILE_COLUMNS / 4 + 1)}>;

// The place of block `index` in a tile that is `width` blocks wide: neighbours are two along depth, then across.
fn block_place(index: u32, width: u32) -> vec2<u32> {
  return vec2<u32>(index / 2u % width, index / (2u * width) * 2u + index % 2u);
}

// Four rows by four steps of depth as one vec4 a step; steps past the end are zero, rows past it repeat the last one.
fn left_block(base: u32, row: u32, k: u32) -> mat4x4<f32> {
  let inside = k + 4u <= params.depth;
#if LEFT_VECTOR == 'rows'
  if (inside) {
    let at = base + min(row, (params.rows - 1u) & ~3u) + k * params.leftDepthStride;
    let step = params.leftDepthStride;
    return mat4x4<f32>(left_vector(at), left_vector(at + step), left_vector(at + 2u * step), left_vector(at + 3u * step));
  }
#end
#for r in 0..4
  let at_$r = base + min(row + ${r}u, params.rows - 1u) * params.leftRowStride + k * params.leftDepthStride;
#end
  if (inside) {
    return transpose(mat4x4<f32>(left_depth(at_0), left_depth(at_1), left_depth(at_2), left_depth(at_3)));
  }
  var block = mat4x4<f32>();
  for (var j = 0u; k + j < params.depth; j++) {
    let step = j * params.leftDepthStride;
    block[j] = vec4<f32>(
#for r in 0..4
      left_scalar(at_$r + step),
#end
    );
  }
  return block;
}

fn right_block(base: u32, column: u32, k: u32) -> mat4x4<f32> {
  let inside = k + 4u <= params.depth;
#if RIGHT_VECTOR == 'columns'
  if (inside) {
    let at = base + min(column, (params.columns - 1u) & ~3u) + k * params.rightDepthStride;
    let step = params.rightDepthStride;
    return mat4x4<f32>(right_vector(at), right_vector(at + step), right_vector(at + 2u * step), right_vector(at + 3u * step));
  }
#end
#for c in 0..4
  let at_$c = base + min(column + ${c}u, params.columns - 1u) * params.rightColumnStride + k * params.rightDepthStride;
#end
  if (inside) {
    return transpose(mat4x4<f32>(right_depth(at_0), right_depth(at_1), right_depth(at_2), right_depth(at_3)));
  }
  var block = mat4x4<f32>();
  for (var j = 0u; k + j < params.depth; j++) {
    let step = j * params.rightDepthStride;
    block[j] = vec4<f32>(
#for c in 0..4
      right_scalar(at_$c + step),
#end
    );
  }
  return block;
}

@compute @workgroup_size(${LANES_DOWN * LANES_ACROSS})
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
  let lane_row = lane / ${LANES_ACROSS}u;
  let lane_column = lane % ${LANES_ACROSS}u;
  // Touched once in sum_span steps: it may lie in memory, so that the running sums have the registers.
  var sums: array<vec4<f32>, ${BLOCKS_DOWN * 4 * BLOCKS_ACROSS}>;
  for (var start = 0u; start < params.depth; start += sum_span) {
#for r in 0..BLOCKS_DOWN*4
#for c in 0..BLOCKS_ACROSS
    var sum_${r}_$c = vec4<f32>();
#end
#end
    for (var k = start; k < min(params.depth, start + sum_span); k += ${TILE_DEPTH}u) {
      for (var index = lane; index < left_blocks; index += ${LANES_DOWN * LANES_ACROSS}u) {
        let place = block_place(index, ${TILE_ROWS / 4}u);
        let block = left_block(offsets.left, tile.row + place.x * 4u, k + place.y * 4u);
#for j in 0..4
        left_tile[(place.y * 4u + ${j}u) * left_pitch + place.x] = block[$j];
#end
      }
      for (var index = lane; index < right_blocks; index += ${LANES_DOWN * LANES_ACROSS}u) {
        let place = block_place(index, ${TILE_COLUMNS / 4}u);
        let block = right_block(offsets.right, tile.column + place.x * 4u, k + place.y * 4u);
#for j in 0..4
        right_tile[(place.y * 4u + ${j}u) * right_pitch + place.x] = block[$j];
#end
      }
      workgroupBarrier();
      for (var j = 0u; j < ${TILE_DEPTH}u; j++) {
#for r in 0..BLOCKS_DOWN
        let a_$r = left_tile[j * left_pitch + lane_row + ${r * LANES_DOWN}u];
#end
#for c in 0..BLOCKS_ACROSS
        let b_$c = right_tile[j * right_pitch + lane_column + ${c * LANES_ACROSS}u];
#end
#for r in 0..BLOCKS_DOWN*4
#for c in 0..BLOCKS_ACROSS
        sum_${r}_$c += a_${r / 4}[${r % 4}] * b_$c;
#end
#end
      }
      workgroupBarrier();
    }
#for r in 0..BLOCKS_DOWN*4
#for c in 0..BLOCKS_ACROSS
    sums[${r * BLOCKS_ACROSS + c}] += sum_${r}_$c;
#end
#end
  }
  // A loop, which compilers unroll where that is cheap: sixteen copies of the epilogue take long to compile.
  for (var i = 0u; i < ${BLOCKS_DOWN * 16 * BLOCKS_ACROSS}u; i++) {
    let r = i / ${BLOCKS_ACROSS * 4}u;
    let c = i / 4u % ${BLOCKS_ACROSS}u;
    let row = tile.row + (lane_row + r / 4u * ${LANES_DOWN}u) * 4u + r % 4u;
    let column = tile.column + (lane_column + c * ${LANES_ACROSS}u) * 4u + i % 4u;
    if (row < params.rows && column < params.columns) {
      store(offsets, row, column, sums[i / 4u][i % 4u]);
    }
  }
}
