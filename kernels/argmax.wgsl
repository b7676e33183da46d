// Index of the largest value of each row; of equal ones the first, as PyTorch on the CPU. One row an invocation:
// rows are short (the classes of a recogniser) and there are few of them.
#include "grid.wgsl"
#include "row_offsets.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read_write> result: array<u32>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = workgroup_index(group, groups) * $WORKGROUP + lane;
  if (row >= params.rows) {
    return;
  }
  let offsets = row_offsets(row);
  var best = 0u;
  var highest = f32(x_values[offsets.x]);
  for (var i = 1u; i < params.columns; i++) {
    let value = f32(x_values[offsets.x + i]);
    if (value > highest) {
      highest = value;
      best = i;
    }
  }
  result[offsets.result] = best;
}
