// Gradients of fused attention for adapters where loads are dear and shuffles cheap (the software adapter): OF
// 'query' gives that of the query, OF 'key_value' those of key and value. Scores are computed again, never stored.
//
// A workgroup is one subgroup. Rows lie across its lanes, four columns a lane, so that a row is one load (CHUNKS of
// them where it is wider than the lanes reach). The OWN rows and their gradients stay in registers; each met row is
// loaded once, multiplied by all of them, and used again for the sums. The products of LANES pairs are added up over
// the lanes together, which leaves the sum of own row k in lane k.
//
// Loops over own rows end at `stop` and not at a constant: the driver would unroll them, and their loads and stores
// would take longer to compile than all the rest.
#include "attention_backward_rows.wgsl"
#include "attention_lane_rows.wgsl"

@compute @workgroup_size($LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let tile = workgroup_index(group, groups);
  if (tile >= params.tiles) {
    return;
  }
  let place = place_of(tile);
#for n in 1..5
  let first_$n = first_of_$n(place);
#end
#for k in 0..OWN
#for c in 0..CHUNKS
  var own_1_${k}_$c = vec4<f32>();
  var own_2_${k}_$c = vec4<f32>();
  var whole_1_${k}_$c = vec4<f32>();
#if OF == 'key_value'
  var whole_2_${k}_$c = vec4<f32>();
#end
#end
#end
  for (var row = place.start; row < place.stop; row++) {
    let k = row - place.start;
#for c in 0..CHUNKS
#for n in 1..3
    let own_${n}_$c = lane_part_$n(first_$n + row * params.rows${n}RowStride, ${c * LANES} + lane);
#for k in 0..OWN
    own_${n}_${k}_$c = select(own_${n}_${k}_$c, own_${n}_$c, k == $k);
#end
#end
#end
  }
#for g in 0..OWN / LANES
  let own_$g = min(place.start + ${g * LANES} + lane, params.ownRows - 1u);
#if OF == 'query'
  let statistics_$g = statistics[statistics_of(place, own_$g)];
#end
#end
  let range = met_rows(place);
  for (var span = range.x; span < range.y; span += sum_span) {
#for k in 0..OWN
#for c in 0..CHUNKS
    var gradient_1_${k}_$c = vec4<f32>();
#if OF == 'key_value'
    var gradient_2_${k}_$c = vec4<f32>();
#end
#end
#end
    let span_end = min(range.y, span + sum_span);
    for (var met = span; met < span_end; met++) {
#for c in 0..CHUNKS
      let met_3_$c = part_3(first_3 + met * params.rows3RowStride, min(${c * LANES} + lane, ${PARTS - 1}));
      let met_4_$c = part_4(first_4 + met * params.rows4RowStride, min(${c * LANES} + lane, ${PARTS - 1}));
#end
#for k in 0..OWN
      var score_$k = dot(own_1_${k}_0, met_3_0);
      var slope_$k = dot(own_2_${k}_0, met_4_0);
#for c in 1..CHUNKS
      score_$k += dot(own_1_${k}_$c, met_3_$c);
      slope_$k += dot(own_2_${k}_$c, met_4_$c);
#end
#end
#if OF == 'key_value'
      let statistics_met = statistics[statistics_of(place, met)];
#end
#for g in 0..OWN / LANES
      let scores_$g = fold(
#for k in 0..LANES
        score_${g * LANES + k},
#end
        lane,
      );
      let slopes_$g = fold(
#for k in 0..LANES
        slope_${g * LANES + k},
#end
        lane,
      );
#if OF == 'query'
      // A query that sees no key has no finite logarithm here and gets NaN.
      let weight_$g = exp(seen_score(scores_$g, place, own_$g, met) - statistics_$g.x);
      let bent_$g = weight_$g * (slopes_$g - statistics_$g.y);
#else
      let seen_$g = seen_score(scores_$g, place, met, own_$g);
      // Only -inf hides: a score of NaN must reach the result.
      let hidden_$g = seen_$g < -3.4028234e38;
      let weight_$g = select(exp(seen_$g - statistics_met.x), 0.0, hidden_$g);
      let bent_$g = select(weight_$g * (slopes_$g - statistics_met.y), 0.0, hidden_$g);
#end
#end
#for k in 0..OWN
      let bent_of_$k = subgroupBroadcast(bent_${k / LANES}, ${k % LANES});
#for c in 0..CHUNKS
      gradient_1_${k}_$c += bent_of_$k * met_3_$c;
#end
#if OF == 'key_value'
      let weight_of_$k = subgroupBroadcast(weight_${k / LANES}, ${k % LANES});
#for c in 0..CHUNKS
      gradient_2_${k}_$c += weight_of_$k * met_4_$c;
#end
#end
#end
    }
#for k in 0..OWN
#for c in 0..CHUNKS
    whole_1_${k}_$c += gradient_1_${k}_$c;
#if OF == 'key_value'
    whole_2_${k}_$c += gradient_2_${k}_$c;
#end
#end
#end
  }
  for (var row = place.start; row < place.stop; row++) {
    let k = row - place.start;
    let at = gradient_of(place, row);
#for c in 0..CHUNKS
    var stored_1_$c = whole_1_0_$c;
#if OF == 'key_value'
    var stored_2_$c = whole_2_0_$c;
#end
#for k in 1..OWN
    stored_1_$c = select(stored_1_$c, whole_1_${k}_$c, k == $k);
#if OF == 'key_value'
    stored_2_$c = select(stored_2_$c, whole_2_${k}_$c, k == $k);
#end
#end
    if (${c * LANES} + lane < $PARTS) {
      store_part(at, ${c * LANES} + lane, params.scale * stored_1_$c);
#if OF == 'key_value'
      store_part(at + params.gradientValueStride, ${c * LANES} + lane, stored_2_$c);
#end
    }
#end
  }
}
