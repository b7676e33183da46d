// What the tiled attention kernels share: the bindings, with vectors of four components where strides allow, and
// reading four components of a row that starts at element `at`, zeros past the row's width.
#include "grid.wgsl"
#include "sum_span.wgsl"

#if VECTORS
@group(0) @binding(1) var<storage, read> query: array<vec4<$QUERY>>;
@group(0) @binding(2) var<storage, read> key: array<vec4<$KEY>>;
@group(0) @binding(3) var<storage, read> value: array<vec4<$VALUE>>;
#else
@group(0) @binding(1) var<storage, read> query: array<$QUERY>;
@group(0) @binding(2) var<storage, read> key: array<$KEY>;
@group(0) @binding(3) var<storage, read> value: array<$VALUE>;
#end
#if MASK
@group(0) @binding(4) var<storage, read> mask: array<$MASK_TYPE>;
#end
#if PADDING
@group(0) @binding(${4 + MASK}) var<storage, read> padding: array<u32>;
#end
#if VECTORS
@group(0) @binding(${4 + MASK + PADDING}) var<storage, read_write> result: array<vec4<$RESULT>>;

fn query_part(at: u32, part: u32) -> vec4<f32> {
  return vec4<f32>(query[at / 4u + part]);
}

fn key_part(at: u32, part: u32) -> vec4<f32> {
  return vec4<f32>(key[at / 4u + part]);
}

fn value_part(at: u32, part: u32) -> vec4<f32> {
  return vec4<f32>(value[at / 4u + part]);
}

fn store_part(at: u32, part: u32, components: vec4<f32>) {
  result[at / 4u + part] = vec4<$RESULT>(components);
}
#else
@group(0) @binding(${4 + MASK + PADDING}) var<storage, read_write> result: array<$RESULT>;

fn query_part(at: u32, part: u32) -> vec4<f32> {
  var components = vec4<f32>();
  for (var c = 0u; c < min(4u, $WIDTH - 4u * part); c++) {
    components[c] = f32(query[at + 4u * part + c]);
  }
  return components;
}

fn key_part(at: u32, part: u32) -> vec4<f32> {
  var components = vec4<f32>();
  for (var c = 0u; c < min(4u, $WIDTH - 4u * part); c++) {
    components[c] = f32(key[at + 4u * part + c]);
  }
  return components;
}

fn value_part(at: u32, part: u32) -> vec4<f32> {
  var components = vec4<f32>();
  for (var c = 0u; c < min(4u, $WIDTH - 4u * part); c++) {
    components[c] = f32(value[at + 4u * part + c]);
  }
  return components;
}

fn store_part(at: u32, part: u32, components: vec4<f32>) {
  for (var c = 0u; c < min(4u, $WIDTH - 4u * part); c++) {
    result[at + 4u * part + c] = $RESULT(components[c]);
  }
}
#end
