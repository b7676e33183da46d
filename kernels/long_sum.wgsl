// The sum of term(i) from first to end over the lanes of a workgroup, in a fixed order. Each lane adds blocks of 64 terms
// and then their sums, so that 4,096 terms a lane lose hardly more digits than 128 would. WIDTH terms come at once.
#include "row_lanes.wgsl"

fn long_sum(first: u32, end: u32, lane: u32) -> f32 {
  var total = $FLOATS();
  for (var start = first; start < end; start += ${64 * WORKGROUP}u) {
    let stop = min(end, start + ${64 * WORKGROUP}u);
    var sum = $FLOATS();
    for (var i = start + lane; i < stop; i += $WORKGROUP) {
      sum += term(i);
    }
    total += sum;
  }
#if WIDTH == 4
  return row_sum(total.x + total.y + (total.z + total.w), lane);
#else
  return row_sum(total, lane);
#end
}
