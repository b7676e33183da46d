// result[i] = x[i] * scale where 31 random bits reach the threshold, else 0. Element i takes word params.first + i of its
// stream, so that the backward, and each part of a tensor that is taken in parts, makes the same mask again.
#include "grid.wgsl"
#include "stream_sets.wgsl"
#include "philox.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read_write> result: array<$RESULT>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let span = set_span(workgroup_index(group, groups), params.first0, params.vectors0);
  for (var i = span.first + lane; i < span.end; i += $WORKGROUP) {
#if WIDTH == 4
    let words = random_block(params.first / 4u + i);
#else
    let element = params.first + i;
    let words = random_block(element / 4u)[element % 4u];
#end
    let kept = (words >> $WORDS(1u)) >= $WORDS(params.threshold);
    result[params.resultOffset0 + i] =
      $RESULT(select($FLOATS(), $FLOATS(x_values[params.xOffset0 + i]) * params.scale, kept));
  }
}
