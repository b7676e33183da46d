// Sums over the rows of a group, for the gradients of layernorm's weight and bias:
//   weight[group, column] = sum of gradient[row, column] * normalized[row, column]
//   bias[group, column] = sum of gradient[row, column]
// `statistics[row]` is what layernorm_gradient.wgsl found: the mean of the row's differences to its first value, and
// 1 / sqrt(variance + epsilon).
#include "column_walk.wgsl"

@group(0) @binding(1) var<storage, read> x_values: array<$X>;
@group(0) @binding(2) var<storage, read> gradient_values: array<$GRADIENT>;
@group(0) @binding(3) var<storage, read> statistics: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> weight: array<$FLOATS>;
@group(0) @binding(5) var<storage, read_write> bias: array<$FLOATS>;

struct RowStart {
  x: u32,
  gradient: u32,
  origin: f32,
  difference: f32,
  scale: f32,
}

#if WIDTH == 4
alias Terms = mat2x4<f32>;
#else
alias Terms = vec2<f32>;
#end

fn row_start(row: u32) -> RowStart {
  let offsets = row_offsets(row);
  let known = statistics[params.statisticsOffset + row];
  return RowStart(offsets.x, offsets.gradient, first_of(Floats(x_values[offsets.x])), known.x, known.y);
}

fn row_terms(start: RowStart, column: u32) -> Terms {
  let centred = Floats(x_values[start.x + column]) - start.origin - start.difference;
  let gradient = Floats(gradient_values[start.gradient + column]);
  return Terms(gradient * (centred * start.scale), gradient);
}

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  var here = place(workgroup_index(group, groups), lane);
  if (here.group >= params.groups) {
    return;
  }
  for (; here.column < here.end; here.column += columns_at_once) {
    let sums = column_terms(here);
    let at = here.group * params.columns + here.column;
#for c in 0..COLUMNS
    if (here.column + ${c * WORKGROUP}u < params.columns) {
      weight[params.weightOffset + at + ${c * WORKGROUP}u] = sums[$c][0];
      bias[params.biasOffset + at + ${c * WORKGROUP}u] = sums[$c][1];
    }
#end
  }
}
