// Kernels whose workgroups take `span` rows one after another (on a CPU, starting a workgroup costs more than a short
// row). The including file defines work_on_row(row, lane), which all lanes of the workgroup enter together.
#include "row_lanes.wgsl"

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = workgroup_index(group, groups) * params.span;
  let end = min(params.rows, first + params.span);
  for (var row = first; row < end; row++) {
    work_on_row(row, lane);
  }
}
