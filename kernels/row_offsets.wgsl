// Where a row (the last dimension) lies in each operand that has rows.
struct RowOffsets {
  x: u32,
#if GRADIENT_ROWS
  gradient: u32,
#end
#if RESULT_ROWS
  result: u32,
#end
}

// Offsets of a row, from its index over RANK outer dimensions (the last of them first).
fn row_offsets(row: u32) -> RowOffsets {
  var offsets: RowOffsets;
  offsets.x = params.xOffset;
#if GRADIENT_ROWS
  offsets.gradient = params.gradientOffset;
#end
#if RESULT_ROWS
  offsets.result = params.resultOffset;
#end
  var rest = row;
#for d in 0..RANK
#if d == RANK - 1
  let coordinate_$d = rest;
#else
  let coordinate_$d = rest % params.size$d;
  rest = rest / params.size$d;
#end
  offsets.x += coordinate_$d * params.xStride$d;
#if GRADIENT_ROWS
  offsets.gradient += coordinate_$d * params.gradientStride$d;
#end
#if RESULT_ROWS
  offsets.result += coordinate_$d * params.resultStride$d;
#end
#end
  return offsets;
}
