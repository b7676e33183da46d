// x[i] = EXPRESSION(x[i], y[i]) in place. With SKIP nothing is changed where the flag that another kernel left is set.
#include "grid.wgsl"
#include "stream_sets.wgsl"

#for s in 0..SETS
@group(0) @binding(${2 * s + 1}) var<storage, read_write> x_$s: array<$X>;
@group(0) @binding(${2 * s + 2}) var<storage, read> y_$s: array<$Y>;
#end
#if SKIP
@group(0) @binding(${2 * SETS + 1}) var<storage, read> skip: array<u32>;
#end

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
#if SKIP
  if (skip[params.skipOffset] != 0u) {
    return;
  }
#end
  let workgroup = workgroup_index(group, groups);
#for s in 0..SETS
  let span_$s = set_span(workgroup, params.first$s, params.vectors$s);
  for (var i = span_${s}.first + lane; i < span_${s}.end; i += $WORKGROUP) {
    let x = x_$s[params.xOffset$s + i];
    let y = $FLOATS(y_$s[params.yOffset$s + i]);
    x_$s[params.xOffset$s + i] = $EXPRESSION;
  }
#end
}
