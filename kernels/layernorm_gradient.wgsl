// Gradient of layernorm's operand, and per row what the gradients of weight and bias need of it (see
// layernorm_weight_gradient.wgsl). One row a workgroup. With c = x - mean, s = 1 / sqrt(variance + epsilon) and
// g = gradient * weight:
//   result = s * (g - mean(g) - c * s^2 * mean(g * c))
// Mean and variance are found in two passes, from differences to the first value.
#include "row.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read> gradient_values: array<$GRADIENT>;
@group(0) @binding(3) var<storage, read> weight: array<$WEIGHT>;
@group(0) @binding(4) var<storage, read_write> result: array<$RESULT>;
@group(0) @binding(5) var<storage, read_write> statistics: array<vec2<f32>>;

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
  let difference = row_sum(sum, lane) / count;
  var squares = 0.0;
  var weighted_sum = 0.0;
  var product_sum = 0.0;
  for (var start = lane; start < params.columns; start += part_columns) {
    // Squares, weighted gradients, products of both.
    var part = vec3<f32>();
    for (var i = start; i < min(start + part_columns, params.columns); i += $WORKGROUP) {
      let centred = f32(x_values[offsets.x + i]) - origin - difference;
      let weighted = f32(gradient_values[offsets.gradient + i]) * f32(weight[params.weightOffset + i]);
      part += vec3<f32>(centred * centred, weighted, weighted * centred);
    }
    squares += part.x;
    weighted_sum += part.y;
    product_sum += part.z;
  }
  let scale = 1.0 / sqrt(row_sum(squares, lane) / count + params.epsilon);
  let weighted_mean = row_sum(weighted_sum, lane) / count;
  let slope = row_sum(product_sum, lane) / count * scale * scale;
  for (var i = lane; i < params.columns; i += $WORKGROUP) {
    let centred = f32(x_values[offsets.x + i]) - origin - difference;
    let weighted = f32(gradient_values[offsets.gradient + i]) * f32(weight[params.weightOffset + i]);
    result[offsets.result + i] = $RESULT(scale * (weighted - weighted_mean - centred * slope));
  }
  if (lane == 0u) {
    statistics[params.statisticsOffset + row] = vec2<f32>(difference, scale);
  }
}
