// Loads of the operands of a product, as f32. LEFT_VECTOR and RIGHT_VECTOR name the dimension along which an operand
// is contiguous and aligned, so that it is bound as vec4 ('depth', and 'rows' or 'columns'), or are 'none'. Positions
// are in elements; those of vectors are multiples of 4. With ROUNDED operands are rounded to the digits of f16,
// as units for matrices take them.
#if ROUNDED
// To the digits of f16, by its bits: drivers drop conversions to f16 and back.
fn rounded(values: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>(values);
  let halfway = vec4<u32>(0xfffu) + ((bits >> vec4<u32>(13u)) & vec4<u32>(1u));
  let nearest = (bits + halfway) & vec4<u32>(0xffffe000u);
  // What is not finite stays so: the bits of some NaN would pass zero.
  let finite = (bits & vec4<u32>(0x7f800000u)) != vec4<u32>(0x7f800000u);
  return bitcast<vec4<f32>>(select(bits, nearest, finite));
}
#end

#if LEFT_VECTOR == 'none'
@group(0) @binding(1) var<storage, read> left: array<$LEFT>;

fn left_scalar(at: u32) -> f32 {
#if ROUNDED && LEFT == 'f32'
  return rounded(vec4<f32>(f32(left[at]))).x;
#else
  return f32(left[at]);
#end
}
#else
@group(0) @binding(1) var<storage, read> left: array<vec4<$LEFT>>;

fn left_vector(at: u32) -> vec4<f32> {
#if ROUNDED && LEFT == 'f32'
  return rounded(vec4<f32>(left[at / 4u]));
#else
  return vec4<f32>(left[at / 4u]);
#end
}

fn left_scalar(at: u32) -> f32 {
#if ROUNDED && LEFT == 'f32'
  return rounded(vec4<f32>(f32(left[at / 4u][at % 4u]))).x;
#else
  return f32(left[at / 4u][at % 4u]);
#end
}
#end

#if RIGHT == 'q8'
// Blocks of 32 neighbours along depth: a scale, then eight words of four int8.
@group(0) @binding(2) var<storage, read> right: array<u32>;

fn right_vector(at: u32) -> vec4<f32> {
  let block = at / 32u * 9u;
  let word = right[block + 1u + at % 32u / 4u];
  // Shifted up to the sign and down again.
  let bytes = bitcast<vec4<i32>>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
  let values = vec4<f32>(bytes) * bitcast<f32>(right[block]);
#if ROUNDED
  return rounded(values);
#else
  return values;
#end
}

fn right_scalar(at: u32) -> f32 {
  return right_vector(at - at % 4u)[at % 4u];
}
#elif RIGHT_VECTOR == 'none'
@group(0) @binding(2) var<storage, read> right: array<$RIGHT>;

fn right_scalar(at: u32) -> f32 {
#if ROUNDED && RIGHT == 'f32'
  return rounded(vec4<f32>(f32(right[at]))).x;
#else
  return f32(right[at]);
#end
}
#else
@group(0) @binding(2) var<storage, read> right: array<vec4<$RIGHT>>;

fn right_vector(at: u32) -> vec4<f32> {
#if ROUNDED && RIGHT == 'f32'
  return rounded(vec4<f32>(right[at / 4u]));
#else
  return vec4<f32>(right[at / 4u]);
#end
}

fn right_scalar(at: u32) -> f32 {
#if ROUNDED && RIGHT == 'f32'
  return rounded(vec4<f32>(f32(right[at / 4u][at % 4u]))).x;
#else
  return f32(right[at / 4u][at % 4u]);
#end
}
#end

// Four neighbours along depth.
fn left_depth(at: u32) -> vec4<f32> {
#if LEFT_VECTOR == 'depth'
  return left_vector(at);
#else
  let step = params.leftDepthStride;
  return vec4<f32>(left_scalar(at), left_scalar(at + step), left_scalar(at + 2u * step), left_scalar(at + 3u * step));
#end
}

fn right_depth(at: u32) -> vec4<f32> {
#if RIGHT_VECTOR == 'depth'
  return right_vector(at);
#else
  let step = params.rightDepthStride;
  return vec4<f32>(right_scalar(at), right_scalar(at + step), right_scalar(at + 2u * step), right_scalar(at + 3u * step));
#end
}
