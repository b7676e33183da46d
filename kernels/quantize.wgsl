// Quantises dense floats into blocks of 32 neighbours: a word for their f32 scale, then eight words of four int8 each, so
// that value = int8 * scale. A lane makes a block. A block with a value that is no finite number gets NaN for its scale.
#include "stream.wgsl"

@group(0) @binding(1) var<storage, read> x: array<vec4<$X>>;
@group(0) @binding(2) var<storage, read_write> result: array<u32>;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let span = stream_span(group, groups);
  for (var block = span.first + lane; block < span.end; block += $WORKGROUP) {
    let source = params.xOffset + block * 8u;
    let first_word = (params.resultOffset + block) * 9u;
    var largest = vec4<f32>();
    var exponents = vec4<u32>();
    for (var i = 0u; i < 8u; i++) {
      let values = vec4<f32>(x[source + i]);
      largest = max(largest, abs(values));
      exponents = max(exponents, bitcast<vec4<u32>>(values) & vec4<u32>(0x7f800000u));
    }
    let most = max(max(largest.x, largest.y), max(largest.z, largest.w));
    let inverse = select(0.0, 127.0 / most, most > 0.0);
    let finite = all(exponents < vec4<u32>(0x7f800000u));
    result[first_word] = select(params.notANumber, bitcast<u32>(most / 127.0), finite);
    for (var i = 0u; i < 8u; i++) {
      let rounded = vec4<i32>(round(clamp(vec4<f32>(x[source + i]) * inverse, vec4<f32>(-127.0), vec4<f32>(127.0))));
      let bytes = bitcast<vec4<u32>>(rounded) & vec4<u32>(0xffu);
      result[first_word + 1u + i] = bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
    }
  }
}
