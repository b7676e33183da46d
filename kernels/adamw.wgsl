// One step of AdamW in place (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019), in the order
// of PyTorch's: decay, moments, then first / (sqrt(second) / sqrt(second correction) + epsilon). The gradient is
// multiplied by a factor that another kernel left (clipping, loss unscaling); where that kernel saw a value that is not
// finite, nothing is changed.
#include "grid.wgsl"
#include "stream_sets.wgsl"

#for s in 0..SETS
@group(0) @binding(${4 * s + 1}) var<storage, read_write> parameter_$s: array<$PARAMETER>;
@group(0) @binding(${4 * s + 2}) var<storage, read> gradient_$s: array<$GRADIENT>;
@group(0) @binding(${4 * s + 3}) var<storage, read_write> first_moment_$s: array<$FIRSTMOMENT>;
@group(0) @binding(${4 * s + 4}) var<storage, read_write> second_moment_$s: array<$SECONDMOMENT>;
#end
@group(0) @binding(${4 * SETS + 1}) var<storage, read> factor: array<f32>;
@group(0) @binding(${4 * SETS + 2}) var<storage, read> skip: array<u32>;

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
  let workgroup = workgroup_index(group, groups);
#for s in 0..SETS
  let span_$s = set_span(workgroup, params.first$s, params.vectors$s);
  for (var i = span_${s}.first + lane; i < span_${s}.end; i += $WORKGROUP) {
    let g = $FLOATS(gradient_$s[params.gradientOffset$s + i]) * gradient_factor;
    let first = first_moment_$s[params.firstMomentOffset$s + i] * params.beta1 + g * params.oneMinusBeta1;
    let second = second_moment_$s[params.secondMomentOffset$s + i] * params.beta2 + g * g * params.oneMinusBeta2;
    first_moment_$s[params.firstMomentOffset$s + i] = first;
    second_moment_$s[params.secondMomentOffset$s + i] = second;
    let denominator = sqrt(second) / params.secondCorrectionRoot + params.epsilon;
    parameter_$s[params.parameterOffset$s + i] =
      parameter_$s[params.parameterOffset$s + i] * params.decay - params.stepSize * first / denominator;
  }
#end
}
