// What the kernels share that lay rows across the lanes of a subgroup, four columns a lane.

// A part of an own row, zeros for lanes past the row's end.
#for n in 1..3
fn lane_part_$n(at: u32, part: u32) -> vec4<f32> {
  return select(vec4<f32>(), part_$n(at, min(part, ${PARTS - 1})), part < $PARTS);
}
#end

// Sums over the lanes of a subgroup, LANES of them together: in halves, of two vectors each half of the lanes goes on
// with one. A sum a vector would take LANES times as long.
fn fold_two(a: f32, b: f32, bit: u32, lane: u32) -> f32 {
  let upper = (lane & bit) != 0u;
  return select(a, b, upper) + subgroupShuffleXor(select(b, a, upper), bit);
}

// In lane k the sum of value_k over all lanes.
fn fold(
#for k in 0..LANES
  value_$k: f32,
#end
  lane: u32,
) -> f32 {
#for k in 0..LANES
  var sum_$k = value_$k;
#end
#if LANES == 16
#for k in 0..8
  sum_$k = fold_two(sum_$k, sum_${k + 8}, 8u, lane);
#end
#end
#if LANES >= 8
#for k in 0..4
  sum_$k = fold_two(sum_$k, sum_${k + 4}, 4u, lane);
#end
#end
#for k in 0..2
  sum_$k = fold_two(sum_$k, sum_${k + 2}, 2u, lane);
#end
  return fold_two(sum_0, sum_1, 1u, lane);
}
