// For the gradients of fused attention: of each query the logarithm of the sum of exp(score) over the keys, and the sum
// of output * output gradient, which is the mean slope of its weights. Tiles as in attention_backward_tile.wgsl; each
// invocation keeps the highest score and the sum of what it computed itself, and the 8 of a row join them at the end.
#include "attention_backward_rows.wgsl"
#include "attention_tile_rows.wgsl"

// Where scores and what is known of them lie, behind the rows.
const seen = 320u;
const partials = 608u;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = workgroup_index(group, groups);
  if (tile >= params.tiles) {
    return;
  }
  let place = place_of(tile);
#for n in 1..5
  let first_$n = first_of_$n(place);
#end
  let x = lane % 8u;
  let y = lane / 8u;
#for i in 0..4
  shared_rows[partials + weights_at(y + ${8 * i}, x)] = vec4<f32>(-3.4028234e38, 0.0, 0.0, 0.0);
#end
  let last_met = params.metRows - 1u;
  let range = met_rows(place);
  for (var block = range.x; block < range.y; block += 32u) {
#for i in 0..4
    var scores_$i = vec4<f32>();
#end
    for (var slab = 0u; slab < params.parts; slab += 4u) {
      workgroupBarrier();
      for (var i = lane; i < 128u; i += 64u) {
        let own = min(place.start + i / 4u, params.ownRows - 1u);
        let met = min(block + i / 4u, last_met);
        let part = slab + i % 4u;
        shared_rows[own_slot(i)] = tile_part_1(first_1 + own * params.rows1RowStride, part);
        shared_rows[160u + met_slot(i)] = tile_part_3(first_3 + met * params.rows3RowStride, part);
      }
      workgroupBarrier();
      for (var part = slab; part < min(slab + 4u, params.parts); part++) {
        let p = part - slab;
#for j in 0..4
        let met_$j = shared_rows[160u + met_read(x, $j, p)];
#end
#for i in 0..4
        let own_row_$i = shared_rows[own_read(y + ${8 * i}, p)];
#for j in 0..4
        scores_$i[$j] += dot(own_row_$i, met_$j);
#end
#end
      }
    }
#for i in 0..4
    shared_rows[seen + weights_at(y + ${8 * i}, x)] = scores_$i;
#end
    // A loop, not unrolled, since loads of the mask and of padding are code of their own each time.
    for (var own = place.start + y; own < place.stop; own += 8u) {
      let at = weights_at(own - place.start, x);
      let scores = shared_rows[seen + at];
      let partial = shared_rows[partials + at];
      var highest = partial.x;
#for j in 0..4
      let met_$j = block + 4u * x + $j;
      let seen_$j = seen_score(scores[$j], place, own, min(met_$j, last_met));
      let score_$j = select(seen_$j, params.minusInfinity, met_$j > last_met);
      highest = max(highest, score_$j);
#end
      let total = partial.y * exp(partial.x - highest)
        + ((exp(score_0 - highest) + exp(score_1 - highest)) + (exp(score_2 - highest) + exp(score_3 - highest)));
      shared_rows[partials + at] = vec4<f32>(highest, total, 0.0, 0.0);
    }
  }
  workgroupBarrier();
  let row = place.start + lane;
  if (row < place.stop) {
    var highest = -3.4028234e38;
    var total = 0.0;
    let first = partials + weights_at(lane, 0u);
    for (var i = first; i < first + 8u; i++) {
      let partial = shared_rows[i];
      let new_highest = max(highest, partial.x);
      total = total * exp(highest - new_highest) + partial.y * exp(partial.x - new_highest);
      highest = new_highest;
    }
    var slope = 0.0;
    for (var part = 0u; part < params.parts; part++) {
      slope += dot(
        part_2(first_2 + row * params.rows2RowStride, part),
        part_4(first_4 + row * params.rows4RowStride, part),
      );
    }
    statistics[statistics_of(place, row)] = vec2<f32>(highest + log(total), slope);
  }
}
