// result[group, sum, column] = sum of x[row, sum, column] over the rows of the group (one group: over all rows), over the
// divisor.
#include "column_walk.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read_write> result: array<$RESULT>;

alias RowStart = u32;
alias Terms = Floats;

fn row_start(row: u32) -> RowStart {
  return row_offsets(row).x;
}

fn row_terms(start: RowStart, column: u32) -> Terms {
  return Floats(x_values[start + column]);
}

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  var here = place(workgroup_index(group, groups), lane);
  if (here.group >= params.groups) {
    return;
  }
  let result_at = params.resultOffset + here.group * params.resultGroupStride + here.sum * params.resultSumStride;
  for (; here.column < here.end; here.column += columns_at_once) {
    let sums = column_terms(here);
#for c in 0..COLUMNS
    if (here.column + ${c * WORKGROUP}u < params.columns) {
      result[result_at + here.column + ${c * WORKGROUP}u] = $RESULT(sums[$c] / params.divisor);
    }
#end
  }
}
