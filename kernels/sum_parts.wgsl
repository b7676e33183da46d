// The sums of a dense operand's spans, or of their squares, in f32. One span a workgroup.
#include "long_sum.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

fn term(i: u32) -> $FLOATS {
  let x = $FLOATS(x_values[params.xOffset + i]);
#if SQUARE
  return x * x;
#else
  return x;
#end
}

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let part = workgroup_index(group, groups);
  if (part >= params.parts) {
    return;
  }
  let first = part * params.span;
  let sum = long_sum(first, min(params.vectors, first + params.span), lane);
  if (lane == 0u) {
    result[params.resultOffset + part] = sum;
  }
}
