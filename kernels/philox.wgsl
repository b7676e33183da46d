// Philox 4x32-10: four random words from a 128-bit counter and a 64-bit key (Salmon, Moraes, Dror and Shaw, "Parallel
// Random Numbers: As Easy as 1, 2, 3", SC 2011). The same as philox.ts, bit for bit.

// The upper half of a product of two words, which WGSL does not give.
fn multiply_high(a: u32, b: u32) -> u32 {
  let low = vec2<u32>(a, b) & vec2<u32>(0xffffu);
  let high = vec2<u32>(a, b) >> vec2<u32>(16u);
  let first = high.x * low.y + ((low.x * low.y) >> 16u);
  let second = low.x * high.y + (first & 0xffffu);
  return high.x * high.y + (first >> 16u) + (second >> 16u);
}

fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  var state = counter;
  var round_key = key;
  for (var round = 0u; round < 10u; round++) {
    let high = vec2<u32>(multiply_high(0xd2511f53u, state.x), multiply_high(0xcd9e8d57u, state.z));
    let low = vec2<u32>(0xd2511f53u * state.x, 0xcd9e8d57u * state.z);
    state = vec4<u32>(high.y ^ state.y ^ round_key.x, low.y, high.x ^ state.w ^ round_key.y, low.x);
    round_key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return state;
}

// Words 4 block to 4 block + 3 of the stream that the parameters name.
fn random_block(block: u32) -> vec4<u32> {
  return philox(
    vec4<u32>(block, 0u, params.streamLow, params.streamHigh),
    vec2<u32>(params.seedLow, params.seedHigh),
  );
}
