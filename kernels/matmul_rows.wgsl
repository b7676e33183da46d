// For GPUs and few rows, as in a decode step, where reading the right operand takes all the time: the lanes of a
// workgroup share TILE_ROWS rows and 4 columns, each lane taking every LANES-th part of the depth, so that even
// narrow products keep the memory busy. The lanes' sums are added in a fixed order.
#include "matmul_shared.wgsl"
#include "matmul_operands.wgsl"

// The sums of all lanes, lane by lane.
var<workgroup> partials: array<vec4<f32>, ${LANES * TILE_ROWS}>;

@compute @workgroup_size($LANES)
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
  // Rows and columns past the edge repeat the last one; their sums are not stored.
#for r in 0..TILE_ROWS
  let left_$r = offsets.left + min(tile.row + ${r}u, params.rows - 1u) * params.leftRowStride;
  var sum_$r = vec4<f32>();
#end
#for c in 0..4
  let right_$c = offsets.right + min(tile.column + ${c}u, params.columns - 1u) * params.rightColumnStride;
#end
  let whole = params.depth - params.depth % 4u;
  for (var k = lane * 4u; k < whole; k += ${LANES * 4}u) {
#for c in 0..4
    let b_$c = right_depth(right_$c + k * params.rightDepthStride);
#end
#for r in 0..TILE_ROWS
    let a_$r = left_depth(left_$r + k * params.leftDepthStride);
    sum_$r += vec4<f32>(dot(a_$r, b_0), dot(a_$r, b_1), dot(a_$r, b_2), dot(a_$r, b_3));
#end
  }
  for (var k = whole + lane; k < params.depth; k += ${LANES}u) {
    let b = vec4<f32>(
#for c in 0..4
      right_scalar(right_$c + k * params.rightDepthStride),
#end
    );
#for r in 0..TILE_ROWS
    sum_$r += left_scalar(left_$r + k * params.leftDepthStride) * b;
#end
  }
#for r in 0..TILE_ROWS
  partials[lane * ${TILE_ROWS}u + $r] = sum_$r;
#end
  workgroupBarrier();
  for (var half = ${LANES / 2 * TILE_ROWS}u; half >= ${TILE_ROWS}u; half /= 2u) {
    for (var i = lane; i < half; i += ${LANES}u) {
      partials[i] += partials[i + half];
    }
    workgroupBarrier();
  }
  for (var i = lane; i < ${TILE_ROWS * 4}u; i += ${LANES}u) {
    let row = tile.row + i / 4u;
    let column = tile.column + i % 4u;
    if (row < params.rows && column < params.columns) {
      store(offsets, row, column, partials[i / 4u][i % 4u]);
    }
  }
}
