// Kernels that add up rows (all dimensions but the last), four columns an invocation: WIDTH of them at once, that
// COLUMNS times. Workgroups are blocks of columns (`span` times what their invocations take at once) times `sums` side by
// side times `groups` of rows; a group takes every groups-th row. The including file defines
//   RowStart, row_start(row)           what the columns of a row share
//   Terms, row_terms(start, column)    what the row adds to the sums of WIDTH columns
#include "grid.wgsl"
#include "row_offsets.wgsl"
#include "column_vectors.wgsl"

const columns_at_once = ${WORKGROUP * COLUMNS}u;

struct Place {
  column: u32,
  end: u32,
  sum: u32,
  group: u32,
}

// The first columns that an invocation takes at once (the others follow WORKGROUP apart), the end of its workgroup's, its
// sum and its group.
fn place(workgroup: u32, lane: u32) -> Place {
  let block = params.span * columns_at_once;
  let blocks = (params.columns + block - 1u) / block;
  let start = workgroup % blocks * block;
  let rest = workgroup / blocks;
  return Place(start + lane, min(start + block, params.columns), rest % params.sums, rest / params.sums);
}

fn column_terms(here: Place) -> array<Terms, $COLUMNS> {
#for c in 0..COLUMNS
  // Past the end the last column is added once more, and not stored.
  let column_$c = here.sum * params.xSumStride + min(here.column + ${c * WORKGROUP}u, params.columns - 1u);
  var total_$c = Terms();
#end
  var row = here.group;
  while (row < params.rows) {
    // Added in parts: one long chain of additions would lose digits.
#for c in 0..COLUMNS
    var part_$c = Terms();
#end
    for (var i = 0u; i < $PART && row < params.rows; i++) {
      let start = row_start(row);
#for c in 0..COLUMNS
      part_$c += row_terms(start, column_$c);
#end
      row += params.groups;
    }
#for c in 0..COLUMNS
    total_$c += part_$c;
#end
  }
  return array<Terms, $COLUMNS>(
#for c in 0..COLUMNS
    total_$c,
#end
  );
}
