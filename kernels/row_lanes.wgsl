// A workgroup whose lanes work on one row at a time: reductions over them.
// With SUBGROUP the workgroup is exactly one subgroup, so no shared memory and no barrier is needed.
#include "grid.wgsl"

#if SUBGROUP
fn row_sum(value: f32, lane: u32) -> f32 {
  return subgroupAdd(value);
}

fn row_max(value: f32, lane: u32) -> f32 {
  return subgroupMax(value);
}
#else
var<workgroup> row_partials: array<f32, $WORKGROUP>;

fn row_sum(value: f32, lane: u32) -> f32 {
  row_partials[lane] = value;
  workgroupBarrier();
  for (var step = ${WORKGROUP}u / 2u; step > 0u; step = step / 2u) {
    if (lane < step) {
      row_partials[lane] += row_partials[lane + step];
    }
    workgroupBarrier();
  }
  let total = workgroupUniformLoad(&row_partials[0]);
  return total;
}

fn row_max(value: f32, lane: u32) -> f32 {
  row_partials[lane] = value;
  workgroupBarrier();
  for (var step = ${WORKGROUP}u / 2u; step > 0u; step = step / 2u) {
    if (lane < step) {
      row_partials[lane] = max(row_partials[lane], row_partials[lane + step]);
    }
    workgroupBarrier();
  }
  let total = workgroupUniformLoad(&row_partials[0]);
  return total;
}
#end
