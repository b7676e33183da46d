// result[i] = value, over a dense result or one of any strides (RANK dimensions, the last first).
#include "stream.wgsl"

@group(0) @binding(1) var<storage, read_write> result: array<$RESULT>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let span = stream_span(group, groups);
  let value = $RESULT($VALUE(params.value));
  for (var i = span.first + lane; i < span.end; i += $WORKGROUP) {
#if WIDTH == 4
    result[params.resultOffset + i] = value;
#else
    var at = params.resultOffset;
    var rest = i;
#for d in 0..RANK
#if d == RANK - 1
    at += rest * params.resultStride$d;
#else
    at += (rest % params.size$d) * params.resultStride$d;
    rest = rest / params.size$d;
#end
#end
    result[at] = value;
#end
  }
}
