// Sum of each row (the last dimension) over a divisor, or its maximum.
#include "row.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read_write> result: array<$RESULT>;

fn work_on_row(row: u32, lane: u32) {
  let offsets = row_offsets(row);
#if KIND == 'max'
  var values = Floats(x_values[offsets.x]);
  for (var i = lane; i < params.columns; i += $LANES) {
    values = max(values, Floats(x_values[offsets.x + i]));
  }
  let value = row_max(largest_of(values), lane);
#else
  // Added in parts: one long chain of additions would lose digits.
  const part_columns = 128u * $LANES;
  var values = Floats();
  for (var start = lane; start < params.columns; start += part_columns) {
    var part = Floats();
    for (var i = start; i < min(start + part_columns, params.columns); i += $LANES) {
      part += Floats(x_values[offsets.x + i]);
    }
    values += part;
  }
  let value = row_sum(sum_of(values), lane) / params.divisor;
#end
  if (lane == 0u) {
    result[offsets.result] = $RESULT(value);
  }
}
