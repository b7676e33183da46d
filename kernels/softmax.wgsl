// Softmax (or its logarithm) over the last dimension, after subtracting the row's maximum. One row a workgroup.
// A row of -inf alone gives NaN, as PyTorch does.
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
  var highest = -3.4028234e38;
  for (var i = lane; i < params.columns; i += $WORKGROUP) {
    highest = max(highest, f32(x_values[offsets.x + i]));
  }
  highest = row_max(highest, lane);
  // Added in parts: one long chain of additions would lose digits.
  const part_columns = 128u * $WORKGROUP;
  var sum = 0.0;
  for (var start = lane; start < params.columns; start += part_columns) {
    var part = 0.0;
    for (var i = start; i < min(start + part_columns, params.columns); i += $WORKGROUP) {
      part += exp(f32(x_values[offsets.x + i]) - highest);
    }
    sum += part;
  }
  sum = row_sum(sum, lane);
#if LOG
  let log_sum = log(sum);
#else
  let scale = 1.0 / sum;
#end
  for (var i = lane; i < params.columns; i += $WORKGROUP) {
    let centred = f32(x_values[offsets.x + i]) - highest;
#if LOG
    result[offsets.result + i] = $RESULT(centred - log_sum);
#else
    result[offsets.result + i] = $RESULT(exp(centred) * scale);
#end
  }
}
