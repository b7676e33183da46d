// result[i] = x[i] in another type, of as many tensors as a launch may bind.
#include "grid.wgsl"
#include "stream_sets.wgsl"

#for s in 0..SETS
@group(0) @binding(${2 * s + 1}) var<storage, read> x_$s: array<$X>;
@group(0) @binding(${2 * s + 2}) var<storage, read_write> result_$s: array<$RESULT>;
#end

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let workgroup = workgroup_index(group, groups);
#for s in 0..SETS
  let span_$s = set_span(workgroup, params.first$s, params.vectors$s);
  for (var i = span_${s}.first + lane; i < span_${s}.end; i += $WORKGROUP) {
    result_$s[params.resultOffset$s + i] = $RESULT(x_$s[params.xOffset$s + i]);
  }
#end
}
