// order[outer, r] = the pick that comes r-th when the picks of an outer entry are sorted by what they point at, equal
// ones by their own position. A pick's place is the number of picks before it, counted by comparing it with all:
// quadratic, so callers cut long lists (see scatterPicksLimit). A lane places four picks.
#include "grid.wgsl"
#include "picked_index.wgsl"

@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> order: array<u32>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = workgroup_index(group, groups);
  let outer = block / params.blocks;
  if (outer >= params.outers) {
    return;
  }
  let picks = (block % params.blocks) * ${4 * WORKGROUP} + lane + vec4<u32>(0, 1, 2, 3) * $WORKGROUP;
  var own = vec4<u32>();
#for k in 0..4
  own[$k] = picked_index(outer, min(picks[$k], params.picks - 1u));
#end
  var places = vec4<u32>();
  for (var j = 0u; j < params.picks; j++) {
    let other = vec4<u32>(picked_index(outer, j));
    places += select(vec4<u32>(0), vec4<u32>(1), other < own + select(vec4<u32>(0), vec4<u32>(1), vec4<u32>(j) < picks));
  }
#for k in 0..4
  if (picks[$k] < params.picks) {
    order[params.orderOffset + outer * params.picks + places[$k]] = picks[$k];
  }
#end
}
