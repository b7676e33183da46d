// Momentum with Nesterov's look ahead: buffer = momentum * buffer + g, result = g + momentum * buffer, where g is the
// gradient times a factor that another kernel left. Where that kernel saw a value that is not finite, the buffer is
// left as it is and the result is 0.
#include "grid.wgsl"
#include "stream_sets.wgsl"

@group(0) @binding(1) var<storage, read_write> buffer: array<$BUFFER>;
@group(0) @binding(2) var<storage, read> gradient: array<$GRADIENT>;
@group(0) @binding(3) var<storage, read_write> result: array<$RESULT>;
@group(0) @binding(4) var<storage, read> factor: array<f32>;
@group(0) @binding(5) var<storage, read> skip: array<u32>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let span = set_span(workgroup_index(group, groups), params.first0, params.vectors0);
  if (skip[params.skipOffset] != 0u) {
    for (var i = span.first + lane; i < span.end; i += $WORKGROUP) {
      result[params.resultOffset0 + i] = $RESULT();
    }
    return;
  }
  let gradient_factor = factor[params.factorOffset];
  for (var i = span.first + lane; i < span.end; i += $WORKGROUP) {
    let g = $FLOATS(gradient[params.gradientOffset0 + i]) * gradient_factor;
    let moved = buffer[params.bufferOffset0 + i] * params.momentum + g;
    buffer[params.bufferOffset0 + i] = moved;
    result[params.resultOffset0 + i] = $RESULT(g + params.momentum * moved);
  }
}
