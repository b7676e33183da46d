// The plain register tile: one invocation computes 4 x 4 results, reading both operands with any strides straight
// from storage. It applies to every problem; the other variants are measured against it.
#include "matmul_shared.wgsl"
#include "matmul_operands.wgsl"

@compute @workgroup_size(8, 8)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
) {
  let tile = tile_of(group, count);
  let first_row = tile.row + local.x * 4u;
  let first_column = tile.column + local.y * 4u;
  if (tile.batch >= params.batches || first_row >= params.rows || first_column >= params.columns) {
    return;
  }
  let offsets = batch_offsets(tile.batch);
#for r in 0..4
  // Rows and columns past the edge repeat the last one; their sums are not stored.
  let left_$r = offsets.left + min(first_row + $r, params.rows - 1u) * params.leftRowStride;
  let right_$r = offsets.right + min(first_column + $r, params.columns - 1u) * params.rightColumnStride;
#end
  var sums: array<vec4<f32>, 4>;
  for (var start = 0u; start < params.depth; start += sum_span) {
#for r in 0..4
    var sum_$r = vec4<f32>();
#end
    for (var k = start; k < min(params.depth, start + sum_span); k++) {
      let b = vec4<f32>(
#for c in 0..4
        right_scalar(right_$c + k * params.rightDepthStride),
#end
      );
#for r in 0..4
      sum_$r += left_scalar(left_$r + k * params.leftDepthStride) * b;
#end
    }
#for r in 0..4
    sums[$r] += sum_$r;
#end
  }
  // A loop, not unrolled: the epilogue would take longer to compile than all the rest.
  for (var r = 0u; r < min(params.rows - first_row, 4u); r++) {
    for (var c = 0u; c < min(params.columns - first_column, 4u); c++) {
      store(offsets, first_row + r, first_column + c, sums[r][c]);
    }
  }
}
