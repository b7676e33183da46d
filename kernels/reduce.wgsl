// Sum of each row (the last dimension) over a divisor, or its maximum. A lane adds its part of the row one by one, so
// long rows are better reduced in stages.
#include "row.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read_write> result: array<$RESULT>;

fn work_on_row(row: u32, lane: u32) {
  let offsets = row_offsets(row);
#if KIND == 'max'
  var values = Floats(x_values[offsets.x]);
  for (var i = lane; i < params.columns; i += $WORKGROUP) {
    values = max(values, Floats(x_values[offsets.x + i]));
  }
  let value = row_max(largest_of(values), lane);
#else
  var values = Floats();
  for (var i = lane; i < params.columns; i += $WORKGROUP) {
    values += Floats(x_values[offsets.x + i]);
  }
  let value = row_sum(sum_of(values), lane) / params.divisor;
#end
  if (lane == 0u) {
    result[offsets.result] = $RESULT(value);
  }
}
