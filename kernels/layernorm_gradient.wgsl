// Gradient of layernorm's operand, and per row what the gradients of weight and bias need of it (see
// layernorm_weight_gradient.wgsl). With c = x - mean, s = 1 / sqrt(variance + epsilon) and
// g = gradient * weight:
//   result = s * (g - mean(g) - c * s^2 * mean(g * c))
// Mean and variance are found in two passes, from differences to the first value.
#include "row.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read> gradient_values: array<$GRADIENT>;
@group(0) @binding(3) var<storage, read> weight: array<$WEIGHT>;
@group(0) @binding(4) var<storage, read_write> result: array<$RESULT>;
@group(0) @binding(5) var<storage, read_write> statistics: array<vec2<f32>>;

fn work_on_row(row: u32, lane: u32) {
  let offsets = row_offsets(row);
  let count = f32(params.columns * $WIDTH);
  let origin = first_of(Floats(x_values[offsets.x]));
  // Added in parts: one long chain of additions would lose digits.
  const part_columns = 128u * $LANES;
  var sum = Floats();
  for (var start = lane; start < params.columns; start += part_columns) {
    var part = Floats();
    for (var i = start; i < min(start + part_columns, params.columns); i += $LANES) {
      part += Floats(x_values[offsets.x + i]) - origin;
    }
    sum += part;
  }
  let difference = row_sum(sum_of(sum), lane) / count;
  var squares = Floats();
  var weighted_sum = Floats();
  var product_sum = Floats();
  for (var start = lane; start < params.columns; start += part_columns) {
    var part_squares = Floats();
    var part_weighted = Floats();
    var part_products = Floats();
    for (var i = start; i < min(start + part_columns, params.columns); i += $LANES) {
      let centred = Floats(x_values[offsets.x + i]) - origin - difference;
      let weighted = Floats(gradient_values[offsets.gradient + i]) * Floats(weight[params.weightOffset + i]);
      part_squares += centred * centred;
      part_weighted += weighted;
      part_products += weighted * centred;
    }
    squares += part_squares;
    weighted_sum += part_weighted;
    product_sum += part_products;
  }
  let scale = 1.0 / sqrt(row_sum(sum_of(squares), lane) / count + params.epsilon);
  let weighted_mean = row_sum(sum_of(weighted_sum), lane) / count;
  let slope = row_sum(sum_of(product_sum), lane) / count * scale * scale;
  for (var i = lane; i < params.columns; i += $LANES) {
    let centred = Floats(x_values[offsets.x + i]) - origin - difference;
    let weighted = Floats(gradient_values[offsets.gradient + i]) * Floats(weight[params.weightOffset + i]);
    result[offsets.result + i] = $RESULT(scale * (weighted - weighted_mean - centred * slope));
  }
  if (lane == 0u) {
    statistics[params.statisticsOffset + row] = vec2<f32>(difference, scale);
  }
}
