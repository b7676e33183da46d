// What the kernels of attention and its gradients share on units that multiply small matrices. Each subgroup of a workgroup
// holds one row of matrices, some lanes share a row of it.
const lanes = ${SUBGROUPS * LANES}u;
// Eight more halves a row keep neighbouring rows on different memory banks.
const token_pitch = ${WIDTH + 8}u;
// Rows that a workgroup owns at first, then those that they meet.
var<workgroup> token_tile: array<f16, ${TOKENS * (WIDTH + 8)}>;

// Four components of a row of the tile.
fn write_part(row: u32, part: u32, components: vec4<f32>) {
  let at = row * token_pitch + 4u * part;
#for c in 0..4
  token_tile[at + $c] = f16(components[$c]);
#end
}

// Of the lanes that share a row.
fn shared_max(own: f32) -> f32 {
  var highest = own;
  for (var step = 1u; step < $SHARE; step *= 2u) {
    highest = max(highest, subgroupShuffleXor(highest, step));
  }
  return highest;
}

fn shared_sum(own: f32) -> f32 {
  var sum = own;
  for (var step = 1u; step < $SHARE; step *= 2u) {
    sum += subgroupShuffleXor(sum, step);
  }
  return sum;
}
