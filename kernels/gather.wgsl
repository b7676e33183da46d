// result[outer, j, inner] = x[outer, index[outer, j], inner]: picks along one axis. One invocation an element.
// An axis larger than a binding is passed in windows: a dispatch writes the picks that lie in its window.
#include "grid.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read> index_values: array<u32>;
@group(0) @binding(3) var<storage, read_write> result: array<$X>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let element = workgroup_index(group, groups) * $WORKGROUP + local;
  if (element >= params.count) {
    return;
  }
  let inner = element % params.inner;
  let picked = element / params.inner;
  let outer = picked / params.picks;
  let index = index_values[params.indexOffset + picked];
  // An index past the axis reads its last entry instead of a neighbour's memory.
  let safe = min(index, params.axis - 1u);
  if (safe < params.windowStart || safe - params.windowStart >= params.windowEntries) {
    return;
  }
  let source = params.xOffset + outer * params.xStride + (safe - params.windowStart) * params.inner + inner;
  result[params.resultOffset + element] = x_values[source];
}
