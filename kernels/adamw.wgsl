// One step of AdamW in place (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019), in the order
// of PyTorch's: decay, moments, then first / (sqrt(second) / sqrt(second correction) + epsilon). The gradient is
// multiplied by a factor that another kernel left (clipping, loss unscaling); where that kernel saw a value that is not
// finite, nothing is changed.
#include "stream.wgsl"

@group(0) @binding(1) var<storage, read_write> parameter: array<$PARAMETER>;
@group(0) @binding(2) var<storage, read> gradient: array<$GRADIENT>;
@group(0) @binding(3) var<storage, read_write> first_moment: array<$FIRST>;
@group(0) @binding(4) var<storage, read_write> second_moment: array<$SECOND>;
@group(0) @binding(5) var<storage, read> factor: array<f32>;
@group(0) @binding(6) var<storage, read> skip: array<u32>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  if (skip[params.skipOffset] != 0u) {
    return;
  }
  let gradient_factor = factor[params.factorOffset];
  let span = stream_span(group, groups);
  for (var i = span.first + lane; i < span.end; i += $WORKGROUP) {
    let g = $FLOATS(gradient[params.gradientOffset + i]) * gradient_factor;
    let first = first_moment[params.firstOffset + i] * params.beta1 + g * params.oneMinusBeta1;
    let second = second_moment[params.secondOffset + i] * params.beta2 + g * g * params.oneMinusBeta2;
    first_moment[params.firstOffset + i] = first;
    second_moment[params.secondOffset + i] = second;
    let denominator = sqrt(second) / params.secondCorrectionRoot + params.epsilon;
    parameter[params.parameterOffset + i] =
      parameter[params.parameterOffset + i] * params.decay - params.stepSize * first / denominator;
  }
}
