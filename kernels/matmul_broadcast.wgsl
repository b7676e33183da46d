// For adapters that run lanes as CPU vectors. There a load costs a scalar load for each lane, a subgroupBroadcast
// from a constant lane costs nothing, and every variable that a loop carries is blended once an iteration. So a
// subgroup computes ROWS x (4 * LANES * GROUPS) results: each lane loads the left operand of its own rows along
// depth and broadcasts it to the others, and owns GROUPS groups of 4 columns of the right operand.
//
// LEFT_VECTOR, RIGHT_VECTOR: operands are bound as vec4; their offsets and row strides are multiples of 4.
// RIGHT_ALONG: the dimension of the right operand that is contiguous, if vectors are loaded ('depth', 'columns').
// UNROLL: vectors along depth an iteration.
#include "matmul_epilogue.wgsl"

#if LEFT_VECTOR
@group(0) @binding(1) var<storage, read> left: array<vec4<$LEFT>>;
#else
@group(0) @binding(1) var<storage, read> left: array<$LEFT>;
#end
#if RIGHT_ALONG != 'any'
@group(0) @binding(2) var<storage, read> right: array<vec4<$RIGHT>>;
#else
@group(0) @binding(2) var<storage, read> right: array<$RIGHT>;
#end

fn left_scalar(at: u32) -> f32 {
#if LEFT_VECTOR
  return f32(left[at / 4u][at % 4u]);
#else
  return f32(left[at]);
#end
}

fn right_scalar(at: u32) -> f32 {
#if RIGHT_ALONG != 'any'
  return f32(right[at / 4u][at % 4u]);
#else
  return f32(right[at]);
#end
}

// Four neighbours along depth.
fn left_depth(at: u32) -> vec4<f32> {
#if LEFT_VECTOR
  return vec4<f32>(left[at / 4u]);
#else
  let step = params.leftDepthStride;
  return vec4<f32>(f32(left[at]), f32(left[at + step]), f32(left[at + 2u * step]), f32(left[at + 3u * step]));
#end
}

#if RIGHT_ALONG == 'any'
fn right_depth(at: u32) -> vec4<f32> {
  let step = params.rightDepthStride;
  return vec4<f32>(f32(right[at]), f32(right[at + step]), f32(right[at + 2u * step]), f32(right[at + 3u * step]));
}
#elif RIGHT_ALONG == 'depth'
fn right_depth(at: u32) -> vec4<f32> {
  return vec4<f32>(right[at / 4u]);
}
#end

@compute @workgroup_size($LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first_row = group.x * ${ROWS}u;
  let offsets = batch_offsets(group.z);
  let last_row = params.rows - 1u;
  let last_column = params.columns - 1u;
#for a in 0..LOADS
  let left_$a = offsets.left + min(first_row + ${a * LANES}u + lane, last_row) * params.leftRowStride;
#end
#for g in 0..GROUPS
  let column_$g = ((group.y * ${GROUPS}u + ${g}u) * ${LANES}u + lane) * 4u;
#if RIGHT_ALONG == 'columns'
  let right_${g} = offsets.right + min(column_$g, last_column & ~3u);
#else
#for c in 0..4
  let right_${g}_$c = offsets.right + min(column_$g + ${c}u, last_column) * params.rightColumnStride;
#end
#end
#for r in 0..ROWS
  var sum_${g}_$r = vec4<f32>();
#end
#end
  let whole = params.depth - params.depth % ${4 * UNROLL}u;
  var k = 0u;
  for (; k < whole; k += ${4 * UNROLL}u) {
#for u in 0..UNROLL
#for a in 0..LOADS
    let a_${u}_$a = left_depth(left_$a + (k + ${4 * u}u) * params.leftDepthStride);
#end
#for g in 0..GROUPS
#if RIGHT_ALONG == 'columns'
#for j in 0..4
    let b_${u}_${g}_$j = vec4<f32>(right[(right_$g + (k + ${4 * u + j}u) * params.rightDepthStride) / 4u]);
#end
#else
#for c in 0..4
    let t_${u}_${g}_$c = right_depth(right_${g}_$c + (k + ${4 * u}u) * params.rightDepthStride);
#end
#for j in 0..4
    let b_${u}_${g}_$j = vec4<f32>(t_${u}_${g}_0[$j], t_${u}_${g}_1[$j], t_${u}_${g}_2[$j], t_${u}_${g}_3[$j]);
#end
#end
#end
#end
#for r in 0..ROWS
#for u in 0..UNROLL
#for j in 0..4
    let s_${r}_${u}_$j = subgroupBroadcast(a_${u}_${r / LANES}[$j], ${r % LANES}u);
#for g in 0..GROUPS
    sum_${g}_$r += s_${r}_${u}_$j * b_${u}_${g}_$j;
#end
#end
#end
#end
  }
  for (; k < params.depth; k++) {
#for a in 0..LOADS
    let a_$a = left_scalar(left_$a + k * params.leftDepthStride);
#end
#for g in 0..GROUPS
#if RIGHT_ALONG == 'columns'
    let b_$g = vec4<f32>(right[(right_$g + k * params.rightDepthStride) / 4u]);
#else
    let b_$g = vec4<f32>(
#for c in 0..4
      right_scalar(right_${g}_$c + k * params.rightDepthStride),
#end
    );
#end
#end
#for r in 0..ROWS
    let s_$r = subgroupBroadcast(a_${r / LANES}, ${r % LANES}u);
#for g in 0..GROUPS
    sum_${g}_$r += s_$r * b_$g;
#end
#end
  }
#for r in 0..ROWS
  if (first_row + ${r}u < params.rows) {
#for g in 0..GROUPS
#for c in 0..4
    if (column_$g + ${c}u < params.columns) {
      store(offsets, first_row + ${r}u, column_$g + ${c}u, sum_${g}_$r[$c]);
    }
#end
#end
  }
#end
}
