// Sums of the squares of dense operands' spans, in f32, one span a workgroup. Each lane adds blocks of 64 squares and then
// their sums, so that 4,096 of them a lane lose hardly more digits than 128 would.
#include "stream_sets.wgsl"
#include "row_lanes.wgsl"

#for s in 0..SETS
@group(0) @binding(${s + 1}) var<storage, read> x_$s: array<$X>;
#end
@group(0) @binding(${SETS + 1}) var<storage, read_write> result: array<f32>;

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
  var total = $FLOATS();
#for s in 0..SETS
  let span_$s = set_span(part, params.first$s, params.vectors$s);
  for (var start = span_${s}.first; start < span_${s}.end; start += ${64 * WORKGROUP}u) {
    let stop = min(span_${s}.end, start + ${64 * WORKGROUP}u);
    var sum = $FLOATS();
    for (var i = start + lane; i < stop; i += $WORKGROUP) {
      let x = $FLOATS(x_$s[params.xOffset$s + i]);
      sum += x * x;
    }
    total += sum;
  }
#end
#if WIDTH == 4
  let sum = row_sum(total.x + total.y + (total.z + total.w), lane);
#else
  let sum = row_sum(total, lane);
#end
  if (lane == 0u) {
    result[params.resultOffset + part] = sum;
  }
}
