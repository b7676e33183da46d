// result[b, l, :] = scale * table[ids[b, l], :] (+ positions[l, :]). One row a workgroup. A table larger than a
// binding is passed in windows of rows: a dispatch writes the rows whose id lies in its window, the first also
// writes NaN where an id lies outside the whole table.
#include "grid.wgsl"

@group(0) @binding(1) var<storage, read> table: array<$TABLE>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
#if POSITIONS
@group(0) @binding(3) var<storage, read> positions: array<$POSITION>;
#end
@group(0) @binding(${3 + POSITIONS}) var<storage, read_write> result: array<$RESULT>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = workgroup_index(group, groups);
  if (row >= params.rows) {
    return;
  }
  let batch = row / params.length;
  let position = row % params.length;
  let id = ids[params.idsOffset + batch * params.idsBatchStride + position * params.idsStride];
  let target_at = params.resultOffset + batch * params.resultBatchStride + position * params.resultStride;
  if (id >= params.tableRows) {
    if (params.windowStart == 0u) {
      for (var i = lane; i < params.columns; i += $WORKGROUP) {
        result[target_at + i] = $RESULT(bitcast<f32>(params.notANumber));
      }
    }
    return;
  }
  if (id < params.windowStart || id - params.windowStart >= params.windowRows) {
    return;
  }
  let source = params.tableOffset + (id - params.windowStart) * params.tableStride;
  for (var i = lane; i < params.columns; i += $WORKGROUP) {
    var value = params.scale * f32(table[source + i]);
#if POSITIONS
    value += f32(positions[params.positionsOffset + position * params.positionsStride + i]);
#end
    result[target_at + i] = $RESULT(value);
  }
}
