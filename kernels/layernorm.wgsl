// (x - mean) / sqrt(variance + epsilon) * weight + bias over the last dimension. One row a workgroup; the variance
// is summed from centred values in a second pass, and the mean from differences to the first value, so that a small
// variance on a large mean keeps its digits. The second pass also finds how far the first one's mean is off.
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
  let count = f32(params.columns);
  let origin = f32(x_values[offsets.x]);
  // Added in parts: one long chain of additions would lose digits.
  const part_columns = 128u * $WORKGROUP;
  var sum = 0.0;
  for (var start = lane; start < params.columns; start += part_columns) {
    var part = 0.0;
    for (var i = start; i < min(start + part_columns, params.columns); i += $WORKGROUP) {
      part += f32(x_values[offsets.x + i]) - origin;
    }
    sum += part;
  }
  let middle = origin + row_sum(sum, lane) / count;
  var squares = 0.0;
  var rest = 0.0;
  for (var start = lane; start < params.columns; start += part_columns) {
    var part_squares = 0.0;
    var part_rest = 0.0;
    for (var i = start; i < min(start + part_columns, params.columns); i += $WORKGROUP) {
      let centred = f32(x_values[offsets.x + i]) - middle;
      part_squares += centred * centred;
      part_rest += centred;
    }
    squares += part_squares;
    rest += part_rest;
  }
  let correction = row_sum(rest, lane) / count;
  let variance = max(row_sum(squares, lane) / count - correction * correction, 0.0);
  let scale = 1.0 / sqrt(variance + params.epsilon);
  for (var i = lane; i < params.columns; i += $WORKGROUP) {
    let normalized = (f32(x_values[offsets.x + i]) - middle - correction) * scale;
    result[offsets.result + i] =
      $RESULT(normalized * f32(weight[params.weightOffset + i]) + f32(bias[params.biasOffset + i]));
  }
}
