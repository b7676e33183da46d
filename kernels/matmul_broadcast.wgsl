// For adapters that run lanes as CPU vectors. There a load costs some nine instructions for each element of each lane, a
// subgroupBroadcast from a constant lane three, and every variable that a loop carries is blended once an iteration. So one
// subgroup computes TILE_ROWS x (4 * LANES) results: a lane loads one row of the left operand for every LANES rows,
// four steps of depth at a time, which the others take from it by broadcasts; and it owns 4 columns.
//
// TILE_ROWS and the blocks of a subgroup are unrolled in full: large tiles are faster and longer to compile.
#include "matmul_shared.wgsl"
#include "matmul_operands.wgsl"

@compute @workgroup_size($LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let tile = tile_of(group, count);
  if (tile.batch >= params.batches) {
    return;
  }
  let offsets = batch_offsets(tile.batch);
  // Rows and columns past the edge repeat the last one; their sums are not stored.
#for a in 0..LOADS
  let left_$a = offsets.left + min(tile.row + ${a * LANES}u + lane, params.rows - 1u) * params.leftRowStride;
#end
  let column = tile.column + lane * 4u;
#for c in 0..4
  let right_$c = offsets.right + min(column + ${c}u, params.columns - 1u) * params.rightColumnStride;
#end
  var sums: array<vec4<f32>, $TILE_ROWS>;
  let whole = params.depth - params.depth % 4u;
  for (var start = 0u; start < whole; start += sum_span) {
#for r in 0..TILE_ROWS
    var sum_$r = vec4<f32>();
#end
    for (var k = start; k < min(whole, start + sum_span); k += 4u) {
#for a in 0..LOADS
      let a_$a = left_depth(left_$a + k * params.leftDepthStride);
#end
#if RIGHT_VECTOR == 'columns'
#for j in 0..4
      let b_$j = right_vector(right_0 + (k + ${j}u) * params.rightDepthStride);
#end
#else
#for c in 0..4
      let column_$c = right_depth(right_$c + k * params.rightDepthStride);
#end
#for j in 0..4
      let b_$j = vec4<f32>(column_0[$j], column_1[$j], column_2[$j], column_3[$j]);
#end
#end
#for r in 0..TILE_ROWS
      // Four products at a time: sums of a quarter as many additions, at no cost where these are not fused.
      sum_$r += (subgroupBroadcast(a_${r / LANES}[0], ${r % LANES}u) * b_0
        + subgroupBroadcast(a_${r / LANES}[1], ${r % LANES}u) * b_1)
        + (subgroupBroadcast(a_${r / LANES}[2], ${r % LANES}u) * b_2
        + subgroupBroadcast(a_${r / LANES}[3], ${r % LANES}u) * b_3);
#end
    }
#for r in 0..TILE_ROWS
    sums[$r] += sum_$r;
#end
  }
#if REST
  for (var k = whole; k < params.depth; k++) {
#for a in 0..LOADS
    let a_$a = left_scalar(left_$a + k * params.leftDepthStride);
#end
    let b = vec4<f32>(
#for c in 0..4
      right_scalar(right_$c + k * params.rightDepthStride),
#end
    );
#for r in 0..TILE_ROWS
    sums[$r] += subgroupBroadcast(a_${r / LANES}, ${r % LANES}u) * b;
#end
  }
#end
  // A loop, not unrolled: the epilogue would take longer to compile than all the rest.
  for (var r = 0u; r < min(params.rows - tile.row, ${TILE_ROWS}u); r++) {
    for (var c = column; c < min(column + 4u, params.columns); c++) {
      store(offsets, tile.row + r, c, sums[r][c - column]);
    }
  }
}
