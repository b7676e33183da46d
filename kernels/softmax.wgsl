// Softmax (or its logarithm) over the last dimension, after subtracting the row's maximum.
// A row of -inf alone gives NaN, as PyTorch does.
#include "row.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read_write> result: array<$RESULT>;

fn work_on_row(row: u32, lane: u32) {
  let offsets = row_offsets(row);
  var highests = Floats(-3.4028234e38);
  for (var i = lane; i < params.columns; i += $LANES) {
    highests = max(highests, Floats(x_values[offsets.x + i]));
  }
  let highest = row_max(largest_of(highests), lane);
  // Added in parts: one long chain of additions would lose digits.
  const part_columns = 128u * $LANES;
  var sums = Floats();
  for (var start = lane; start < params.columns; start += part_columns) {
    var part = Floats();
    for (var i = start; i < min(start + part_columns, params.columns); i += $LANES) {
      part += exp(Floats(x_values[offsets.x + i]) - highest);
    }
    sums += part;
  }
  let sum = row_sum(sum_of(sums), lane);
#if LOG
  let log_sum = log(sum);
#else
  let scale = 1.0 / sum;
#end
  for (var i = lane; i < params.columns; i += $LANES) {
    let centred = Floats(x_values[offsets.x + i]) - highest;
#if LOG
    result[offsets.result + i] = $RESULT(centred - log_sum);
#else
    result[offsets.result + i] = $RESULT(exp(centred) * scale);
#end
  }
}
