// Kernels whose workgroups take `span` rows one after another (on a CPU, starting a workgroup costs more than a short
// row). The including file defines work_on_row(row, lane), which the LANES lanes that share a row enter together: all of the
// workgroup's, or one.
#if LANES == 1
#include "grid.wgsl"

fn row_sum(value: f32, lane: u32) -> f32 {
  return value;
}

fn row_max(value: f32, lane: u32) -> f32 {
  return value;
}
#else
#include "row_lanes.wgsl"
#end

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = workgroup_index(group, groups) * params.span;
  let end = min(params.rows, first + params.span);
#if LANES == 1
  for (var row = first + lane; row < end; row += $WORKGROUP) {
    work_on_row(row, 0u);
  }
#else
  for (var row = first; row < end; row++) {
    work_on_row(row, lane);
  }
#end
}
