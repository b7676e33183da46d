// From sums of squares of all gradients: control = (norm, factor) and skip. The norm is that of the gradients times
// `unscale`; the factor is `unscale` times what brings a norm above maxNorm down to it, as PyTorch's clip_grad_norm_
// does. Where the sum is not finite, skip is 1 and the factor 0. One workgroup.
#include "row_lanes.wgsl"

@group(0) @binding(1) var<storage, read> squares: array<f32>;
@group(0) @binding(2) var<storage, read_write> control: array<f32>;
@group(0) @binding(3) var<storage, read_write> skip: array<u32>;

@compute @workgroup_size($WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  // In blocks, as square_sums.wgsl adds up squares: long chains would lose digits.
  var total = 0f;
  for (var start = 0u; start < params.count; start += ${64 * WORKGROUP}u) {
    let stop = min(params.count, start + ${64 * WORKGROUP}u);
    var part = 0f;
    for (var i = start + lane; i < stop; i += $WORKGROUP) {
      part += squares[params.squaresOffset + i];
    }
    total += part;
  }
  let sum = row_sum(total, lane);
  if (lane > 0u) {
    return;
  }
  let norm = sqrt(sum) * params.unscale;
  // By its bits: a compiler may take it that comparisons never meet such values.
  let finite = (bitcast<u32>(sum) & 0x7f800000u) != 0x7f800000u;
  let bounded = norm + 1e-6;
  let clip = select(params.maxNorm / bounded, 1.0, bounded <= params.maxNorm);
  control[params.controlOffset] = norm;
  control[params.controlOffset + 1u] = select(0.0, clip * params.unscale, finite);
  skip[params.skipOffset] = select(1u, 0u, finite);
}
