// x[i] = EXPRESSION(x[i], y[i]) in place. With SKIP nothing is changed where the flag that another kernel left is set.
#include "stream.wgsl"

@group(0) @binding(1) var<storage, read_write> x_values: array<$X>;
@group(0) @binding(2) var<storage, read> y_values: array<$Y>;
#if SKIP
@group(0) @binding(3) var<storage, read> skip: array<u32>;
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
  let span = stream_span(group, groups);
  for (var i = span.first + lane; i < span.end; i += $WORKGROUP) {
    let x = x_values[params.xOffset + i];
    let y = $FLOATS(y_values[params.yOffset + i]);
    x_values[params.xOffset + i] = $EXPRESSION;
  }
}
