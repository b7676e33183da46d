// result[i] = word i of a random stream. One block of four words an invocation step.
#include "stream.wgsl"
#include "philox.wgsl"

@group(0) @binding(1) var<storage, read_write> result: array<$RESULT>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let span = stream_span(group, groups);
  for (var i = span.first + lane; i < span.end; i += $WORKGROUP) {
#if WIDTH == 4
    result[params.resultOffset + i] = random_block(i);
#else
    result[params.resultOffset + i] = random_block(i / 4u)[i % 4u];
#end
  }
}
