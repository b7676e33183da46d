// Momentum with Nesterov's look ahead: buffer = momentum * buffer + g, result = g + momentum * buffer, where g is the
// gradient times a factor that another kernel left. Where that kernel saw a value that is not finite, the buffer is
// left as it is and the result is 0.
#include "grid.wgsl"
#include "stream_sets.wgsl"

#for s in 0..SETS
@group(0) @binding(${3 * s + 1}) var<storage, read_write> buffer_$s: array<$BUFFER>;
@group(0) @binding(${3 * s + 2}) var<storage, read> gradient_$s: array<$GRADIENT>;
@group(0) @binding(${3 * s + 3}) var<storage, read_write> result_$s: array<$RESULT>;
#end
@group(0) @binding(${3 * SETS + 1}) var<storage, read> factor: array<f32>;
@group(0) @binding(${3 * SETS + 2}) var<storage, read> skip: array<u32>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let workgroup = workgroup_index(group, groups);
#for s in 0..SETS
  let span_$s = set_span(workgroup, params.first$s, params.vectors$s);
#end
  if (skip[params.skipOffset] != 0u) {
#for s in 0..SETS
    for (var i = span_${s}.first + lane; i < span_${s}.end; i += $WORKGROUP) {
      result_$s[params.resultOffset$s + i] = $RESULT();
    }
#end
    return;
  }
  let gradient_factor = factor[params.factorOffset];
#for s in 0..SETS
  for (var i = span_${s}.first + lane; i < span_${s}.end; i += $WORKGROUP) {
    let g = $FLOATS(gradient_$s[params.gradientOffset$s + i]) * gradient_factor;
    let moved = buffer_$s[params.bufferOffset$s + i] * params.momentum + g;
    buffer_$s[params.bufferOffset$s + i] = moved;
    result_$s[params.resultOffset$s + i] = $RESULT(g + params.momentum * moved);
  }
#end
}
