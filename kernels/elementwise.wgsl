// result[i] = EXPRESSION(x[i], y[i]) over operands of any strides: broadcasting, casts, copies into slices.
// A workgroup takes `steps` blocks of WORKGROUP elements one after another: on a CPU, starting a workgroup costs more
// than the elements. The launcher folds dimensions, so contiguous operands have RANK 1.
#include "grid.wgsl"
#include "activation.wgsl"
#include "activation_gradient.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
#if INPUTS == 2
@group(0) @binding(2) var<storage, read> y_values: array<$Y>;
#end
@group(0) @binding(${INPUTS + 1}) var<storage, read_write> result: array<$RESULT>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let first = workgroup_index(group, groups) * params.steps * $WORKGROUP;
  let end = min(first + params.steps * $WORKGROUP, params.count);
  for (var index = first + local; index < end; index += $WORKGROUP) {
    var x_index = params.xOffset;
    var y_index = params.yOffset;
    var result_index = params.resultOffset;
    var rest = index;
#for d in 0..RANK
#if d == RANK - 1
    let coordinate_$d = rest;
#else
    let coordinate_$d = rest % params.size$d;
    rest = rest / params.size$d;
#end
    x_index += coordinate_$d * params.xStride$d;
    y_index += coordinate_$d * params.yStride$d;
    result_index += coordinate_$d * params.resultStride$d;
#end
    let x = $COMPUTE(x_values[x_index]);
#if INPUTS == 2
    let y = $COMPUTE(y_values[y_index]);
#end
    result[result_index] = $RESULT($EXPRESSION);
  }
}
