// Sum of each row (the last dimension) over a divisor, or its maximum. One row a workgroup. A lane adds its part of
// the row one by one, so long rows are better reduced in stages.
#include "row.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read_write> result: array<$RESULT>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = workgroup_index(group, groups);
  if (row >= params.rows) {
    return;
  }
  let offsets = row_offsets(row);
#if KIND == 'max'
  var value = f32(x_values[offsets.x]);
  for (var i = lane; i < params.columns; i += $WORKGROUP) {
    value = max(value, f32(x_values[offsets.x + i]));
  }
  value = row_max(value, lane);
#else
  var value = 0.0;
  for (var i = lane; i < params.columns; i += $WORKGROUP) {
    value += f32(x_values[offsets.x + i]);
  }
  value = row_sum(value, lane) / params.divisor;
#end
  if (lane == 0u) {
    result[offsets.result] = $RESULT(value);
  }
}
