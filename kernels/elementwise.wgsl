// result[i] = EXPRESSION(x[i], y[i]) over operands of any strides: broadcasting, casts, copies into slices. Elements go
// WIDTH at a time where the last dimension of every operand lies so, or is one value repeated. The launcher folds
// dimensions, so contiguous operands have RANK 1.
#include "stream.wgsl"
#include "activation.wgsl"
#include "activation_gradient.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
#if INPUTS == 2
@group(0) @binding(2) var<storage, read> y_values: array<$Y>;
#end
@group(0) @binding(${INPUTS + 1}) var<storage, read_write> result: array<$RESULT>;

alias Floats = $FLOATS;
alias Words = $WORDS;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let span = stream_span(group, groups);
  for (var index = span.first + lane; index < span.end; index += $WORKGROUP) {
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
    // Of one value, several.
    let x = $COMPUTE($X_AS(x_values[x_index]));
#if INPUTS == 2
    let y = $COMPUTE($Y_AS(y_values[y_index]));
#end
    result[result_index] = $RESULT($EXPRESSION);
  }
}
