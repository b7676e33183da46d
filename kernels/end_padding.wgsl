// result[b, l] = 1 from the first end token of row b on, else 0: the key-padding mask of a pass over a whole context.
// One row an invocation.
#include "grid.wgsl"

@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> result: array<u32>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let row = workgroup_index(group, groups) * $WORKGROUP + local;
  if (row >= params.rows) {
    return;
  }
  var ended = 0u;
  for (var i = 0u; i < params.columns; i++) {
    ended = select(ended, 1u, ids[params.idsOffset + row * params.idsStride + i] == params.endId);
    result[params.resultOffset + row * params.columns + i] = ended;
  }
}
