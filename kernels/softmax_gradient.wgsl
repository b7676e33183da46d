// Gradient of softmax's operand from its output y and the output's gradient g, or of its logarithm's:
//   softmax:    y * (g - sum(g * y))
//   logarithm:  g - exp(y) * sum(g)
// One row a workgroup.
#include "row.wgsl"

@group(0) @binding(1) var<storage, read> output_values: array<$X>;
@group(0) @binding(2) var<storage, read> gradient_values: array<$GRADIENT>;
@group(0) @binding(3) var<storage, read_write> result: array<$RESULT>;

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
  // Added in parts: one long chain of additions would lose digits.
  const part_columns = 128u * $WORKGROUP;
  var sum = 0.0;
  for (var start = lane; start < params.columns; start += part_columns) {
    var part = 0.0;
    for (var i = start; i < min(start + part_columns, params.columns); i += $WORKGROUP) {
      let gradient = f32(gradient_values[offsets.gradient + i]);
#if LOG
      part += gradient;
#else
      part += gradient * f32(output_values[offsets.x + i]);
#end
    }
    sum += part;
  }
  sum = row_sum(sum, lane);
  for (var i = lane; i < params.columns; i += $WORKGROUP) {
    let gradient = f32(gradient_values[offsets.gradient + i]);
    let y = f32(output_values[offsets.x + i]);
#if LOG
    result[offsets.result + i] = $RESULT(gradient - exp(y) * sum);
#else
    result[offsets.result + i] = $RESULT(y * (gradient - sum));
#end
  }
}
