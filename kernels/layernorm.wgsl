// (x - mean) / sqrt(variance + epsilon) * weight + bias over the last dimension. The variance
// is summed from centred values in a second pass, and the mean from differences to the first value, so that a small
// variance on a large mean keeps its digits. The second pass also finds how far the first one's mean is off.
#include "row.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read> weight: array<$WEIGHT>;
@group(0) @binding(3) var<storage, read> bias: array<$BIAS>;
@group(0) @binding(4) var<storage, read_write> result: array<$RESULT>;

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
  let middle = origin + row_sum(sum_of(sum), lane) / count;
  var squares = Floats();
  var rest = Floats();
  for (var start = lane; start < params.columns; start += part_columns) {
    var part_squares = Floats();
    var part_rest = Floats();
    for (var i = start; i < min(start + part_columns, params.columns); i += $LANES) {
      let centred = Floats(x_values[offsets.x + i]) - middle;
      part_squares += centred * centred;
      part_rest += centred;
    }
    squares += part_squares;
    rest += part_rest;
  }
  let correction = row_sum(sum_of(rest), lane) / count;
  let variance = max(row_sum(sum_of(squares), lane) / count - correction * correction, 0.0);
  let scale = 1.0 / sqrt(variance + params.epsilon);
  for (var i = lane; i < params.columns; i += $LANES) {
    let normalized = (Floats(x_values[offsets.x + i]) - middle - correction) * scale;
    result[offsets.result + i] =
      $RESULT(normalized * Floats(weight[params.weightOffset + i]) + Floats(bias[params.biasOffset + i]));
  }
}
