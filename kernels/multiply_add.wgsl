// Multiply-adds that wait for nothing but arithmetic: what a device computes at most. Each invocation advances
// CHAINS independent vectors by x -> x * factor + term, STEPS times a round, and stores the sum of all components,
// so that nothing can be left out.
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

@compute @workgroup_size($WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let factor = vec4<f32>(params.factor);
  let term = vec4<f32>(params.term);
#for c in 0..CHAINS
  var x_$c = vec4<f32>(f32(id.x % 4u) + ${c}.0);
#end
  for (var round = 0u; round < params.rounds; round++) {
#for s in 0..STEPS
#for c in 0..CHAINS
    x_$c = x_$c * factor + term;
#end
#end
  }
  var sum = vec4<f32>();
#for c in 0..CHAINS
  sum += x_$c;
#end
  result[params.resultOffset + id.x] = sum.x + sum.y + sum.z + sum.w;
}
