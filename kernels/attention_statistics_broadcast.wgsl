// For the gradients of fused attention: of each query the logarithm of the sum of exp(score) over the keys, and the sum
// of output * output gradient, which is the mean slope of its weights. Rows lie across the lanes as in
// attention_backward_broadcast.wgsl; lane k keeps the highest score and the sum of own row k.
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
  var slope_$k = 0.0;
#for c in 0..CHUNKS
  var own_${k}_$c = vec4<f32>();
#end
#end
  for (var row = place.start; row < place.stop; row++) {
    let k = row - place.start;
    var slope = 0.0;
#for c in 0..CHUNKS
    let own_$c = lane_part_1(first_1 + row * params.rows1RowStride, ${c * LANES} + lane);
    let output_gradient_$c = lane_part_2(first_2 + row * params.rows2RowStride, ${c * LANES} + lane);
    slope += dot(output_gradient_$c, part_4(first_4 + row * params.rows4RowStride, min(${c * LANES} + lane, ${PARTS - 1})));
#for k in 0..OWN
    own_${k}_$c = select(own_${k}_$c, own_$c, k == $k);
#end
#end
#for k in 0..OWN
    slope_$k = select(slope_$k, slope, k == $k);
#end
  }
#for g in 0..OWN / LANES
  let own_$g = min(place.start + ${g * LANES} + lane, params.ownRows - 1u);
  var highest_$g = -3.4028234e38;
  var whole_highest_$g = highest_$g;
  var whole_total_$g = 0.0;
#end
  let range = met_rows(place);
  for (var span = range.x; span < range.y; span += sum_span) {
#for g in 0..OWN / LANES
    var total_$g = 0.0;
#end
    let span_end = min(range.y, span + sum_span);
    for (var met = span; met < span_end; met++) {
#for c in 0..CHUNKS
      let met_$c = part_3(first_3 + met * params.rows3RowStride, min(${c * LANES} + lane, ${PARTS - 1}));
#end
#for k in 0..OWN
      var score_$k = dot(own_${k}_0, met_0);
#for c in 1..CHUNKS
      score_$k += dot(own_${k}_$c, met_$c);
#end
#end
#for g in 0..OWN / LANES
      let scores_$g = fold(
#for k in 0..LANES
        score_${g * LANES + k},
#end
        lane,
      );
      let seen_$g = seen_score(scores_$g, place, own_$g, met);
      let new_highest_$g = max(highest_$g, seen_$g);
      total_$g = total_$g * exp(highest_$g - new_highest_$g) + exp(seen_$g - new_highest_$g);
      highest_$g = new_highest_$g;
#end
    }
#for g in 0..OWN / LANES
    whole_total_$g = whole_total_$g * exp(whole_highest_$g - highest_$g) + total_$g;
    whole_highest_$g = highest_$g;
#end
  }
#for g in 0..OWN / LANES
  let slopes_$g = fold(
#for k in 0..LANES
    slope_${g * LANES + k},
#end
    lane,
  );
  if (place.start + ${g * LANES} + lane < place.stop) {
    statistics[statistics_of(place, own_$g)] = vec2<f32>(highest_$g + log(whole_total_$g), slopes_$g);
  }
#end
}
