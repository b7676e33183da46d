// Gradient of softmax's operand from its output y and the output's gradient g, or of its logarithm's:
//   softmax:    y * (g - sum(g * y))
//   logarithm:  g - exp(y) * sum(g)
#include "row.wgsl"

@group(0) @binding(1) var<storage, read> output_values: array<$X>;
@group(0) @binding(2) var<storage, read> gradient_values: array<$GRADIENT>;
@group(0) @binding(3) var<storage, read_write> result: array<$RESULT>;

fn work_on_row(row: u32, lane: u32) {
  let offsets = row_offsets(row);
  // Added in parts: one long chain of additions would lose digits.
  const part_columns = 128u * $LANES;
  var sums = Floats();
  for (var start = lane; start < params.columns; start += part_columns) {
    var part = Floats();
    for (var i = start; i < min(start + part_columns, params.columns); i += $LANES) {
      let gradient = Floats(gradient_values[offsets.gradient + i]);
#if LOG
      part += gradient;
#else
      part += gradient * Floats(output_values[offsets.x + i]);
#end
    }
    sums += part;
  }
  let sum = row_sum(sum_of(sums), lane);
  for (var i = lane; i < params.columns; i += $LANES) {
    let gradient = Floats(gradient_values[offsets.gradient + i]);
    let y = Floats(output_values[offsets.x + i]);
#if LOG
    result[offsets.result + i] = $RESULT(gradient - exp(y) * sum);
#else
    result[offsets.result + i] = $RESULT(y * (gradient - sum));
#end
  }
}
