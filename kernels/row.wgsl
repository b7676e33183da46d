// Kernels that treat one row (the last dimension) a workgroup: where the row lies.
#include "row_lanes.wgsl"

struct RowOffsets {
  x: u32,
  result: u32,
}

// Offsets of a row, from its index over RANK outer dimensions (the last of them first).
fn row_offsets(row: u32) -> RowOffsets {
  var offsets = RowOffsets(params.xOffset, params.resultOffset);
  var rest = row;
#for d in 0..RANK
#if d == RANK - 1
  let coordinate_$d = rest;
#else
  let coordinate_$d = rest % params.size$d;
  rest = rest / params.size$d;
#end
  offsets.x += coordinate_$d * params.xStride$d;
  offsets.result += coordinate_$d * params.resultStride$d;
#end
  return offsets;
}
