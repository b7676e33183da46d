// Cross entropy of each row of logits against its target class, or with GRADIENT the gradient of the logits:
//   loss = log(sum(exp(x))) - x[target]
//   gradient = (softmax(x) - onehot(target)) * row weight
// A row whose target is `ignored` gives 0, one with another target outside the classes NaN.
// The target's own term is kept out of the sums: neither a small loss nor a probability near 1 then loses its digits.
#include "row_walk.wgsl"

@group(0) @binding(1) var<storage, read> logits: array<$X>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
#if GRADIENT
@group(0) @binding(3) var<storage, read> row_weights: array<f32>;
#end
@group(0) @binding(${3 + GRADIENT}) var<storage, read_write> result: array<$RESULT>;

// log(1 + x) for x >= 0, also where 1 + x rounds digits of x away.
fn log_one_plus(x: f32) -> f32 {
  return select(log(1.0 + x), x * (1.0 - x * (0.5 - x / 3.0)), x < 0.01);
}

// The whole row's result where it does not depend on the logits.
fn write_row(row: u32, lane: u32, value: f32) {
#if GRADIENT
  for (var i = lane; i < params.columns; i += $LANES) {
    result[params.resultOffset + row * params.resultStride + i] = $RESULT(value);
  }
#else
  if (lane == 0u) {
    result[params.resultOffset + row * params.resultStride] = value;
  }
#end
}

fn work_on_row(row: u32, lane: u32) {
  let wanted = targets[params.targetsOffset + row * params.targetsStride];
  if (wanted == params.ignored) {
    write_row(row, lane, 0.0);
    return;
  }
  if (wanted >= params.columns) {
    write_row(row, lane, bitcast<f32>(params.notANumber));
    return;
  }
  let start_at = params.logitsOffset + row * params.logitsStride;
  var highest = -3.4028234e38;
  for (var i = lane; i < params.columns; i += $LANES) {
    highest = max(highest, f32(logits[start_at + i]));
  }
  highest = row_max(highest, lane);
  // Added in parts: one long chain of additions would lose digits.
  const part_columns = 128u * $LANES;
  var others = 0.0;
  for (var start = lane; start < params.columns; start += part_columns) {
    var part = 0.0;
    for (var i = start; i < min(start + part_columns, params.columns); i += $LANES) {
      part += select(exp(f32(logits[start_at + i]) - highest), 0.0, i == wanted);
    }
    others += part;
  }
  others = row_sum(others, lane);
  let centred = f32(logits[start_at + wanted]) - highest;
  let sum = others + exp(centred);
#if GRADIENT
  let row_weight = row_weights[params.weightsOffset + row * params.weightsStride];
  let scale = 1.0 / sum;
  for (var i = lane; i < params.columns; i += $LANES) {
    let share = select(exp(f32(logits[start_at + i]) - highest), -others, i == wanted);
    result[params.resultOffset + row * params.resultStride + i] = $RESULT(share * scale * row_weight);
  }
#else
  if (lane == 0u) {
    let loss = select(log(sum) - centred, log_one_plus(others), centred == 0.0);
    result[params.resultOffset + row * params.resultStride] = loss;
  }
#end
}
