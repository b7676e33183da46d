// (x - mean) / sqrt(variance + epsilon) * weight + bias over the last dimension. One row a workgroup; the variance
// is summed from centred values in a second pass, and the mean from differences to the first value, so that a small
// variance on a large mean keeps its digits.
#include "row.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read> weight: array<$WEIGHT>;
@group(0) @binding(3) var<storage, read> bias: array<$BIAS>;
@group(0) @binding(4) var<storage, read_write> result: array<$RESULT>;

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
  let origin = f32(x_values[offsets.x]);
  var sum = 0.0;
  for (var i = lane; i < params.columns; i += $WORKGROUP) {
    sum += f32(x_values[offsets.x + i]) - origin;
  }
  let mean = row_sum(sum, lane) / f32(params.columns);
  var squares = 0.0;
  for (var i = lane; i < params.columns; i += $WORKGROUP) {
    let centred = f32(x_values[offsets.x + i]) - origin - mean;
    squares += centred * centred;
  }
  let scale = 1.0 / sqrt(row_sum(squares, lane) / f32(params.columns) + params.epsilon);
  for (var i = lane; i < params.columns; i += $WORKGROUP) {
    let normalized = (f32(x_values[offsets.x + i]) - origin - mean) * scale;
    result[offsets.result + i] =
      $RESULT(normalized * f32(weight[params.weightOffset + i]) + f32(bias[params.biasOffset + i]));
  }
}
