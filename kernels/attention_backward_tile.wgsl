// Gradients of fused attention by tiles in workgroup memory: OF 'query' gives that of the query, OF 'key_value' those of
// key and value. Scores are computed again, never stored.
//
// A workgroup owns 32 rows and meets the others in blocks of 32. Its 64 invocations lie 8 x 8 over a block: invocation
// (y, x) computes scores and slopes of own rows y + 8 i and met rows 4 x + j, and then columns 4 x + j (of every 32) of
// the gradients of the same own rows, which stay in its registers.
#include "attention_backward_rows.wgsl"
#include "attention_tile_rows.wgsl"

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
  // Touched once a span: they may lie in memory, so that the running sums have the registers.
#for n in 1..2 + (OF == 'key_value')
  var whole_$n: array<vec4<f32>, ${4 * CHUNKS}>;
#end
  let last_met = params.metRows - 1u;
  let range = met_rows(place);
  for (var span = range.x; span < range.y; span += sum_span) {
#for n in 1..2 + (OF == 'key_value')
#for i in 0..4 * CHUNKS
    var gradient_${n}_${i} = vec4<f32>();
#end
#end
    let span_end = min(range.y, span + sum_span);
    for (var block = span; block < span_end; block += 32u) {
#for i in 0..4
      var scores_$i = vec4<f32>();
      var slopes_$i = vec4<f32>();
#end
      for (var slab = 0u; slab < params.parts; slab += 4u) {
        workgroupBarrier();
        for (var i = lane; i < 128u; i += 64u) {
          let own = min(place.start + i / 4u, params.ownRows - 1u);
          let met = min(block + i / 4u, last_met);
          let part = slab + i % 4u;
#for n in 1..3
          shared_rows[${160 * (n - 1)} + own_slot(i)] = tile_part_$n(first_$n + own * params.rows${n}RowStride, part);
#end
#for n in 3..5
          shared_rows[${160 * (n - 1)} + met_slot(i)] = tile_part_$n(first_$n + met * params.rows${n}RowStride, part);
#end
        }
        workgroupBarrier();
        for (var part = slab; part < min(slab + 4u, params.parts); part++) {
          let p = part - slab;
#for j in 0..4
          let met_3_$j = shared_rows[320u + met_read(x, $j, p)];
          let met_4_$j = shared_rows[480u + met_read(x, $j, p)];
#end
#for i in 0..4
          let own_1_$i = shared_rows[own_read(y + ${8 * i}, p)];
          let own_2_$i = shared_rows[160u + own_read(y + ${8 * i}, p)];
#for j in 0..4
          scores_$i[$j] += dot(own_1_$i, met_3_$j);
          slopes_$i[$j] += dot(own_2_$i, met_4_$j);
#end
#end
        }
      }
      workgroupBarrier();
#for i in 0..4
      shared_rows[weights_at(y + ${8 * i}, x)] = scores_$i;
      shared_rows[288u + weights_at(y + ${8 * i}, x)] = slopes_$i;
#end
#for j in 0..4
      let met_$j = min(block + 4u * x + $j, last_met);
      let absent_$j = block + 4u * x + $j > last_met;
#if OF == 'key_value'
      let statistics_$j = statistics[statistics_of(place, met_$j)];
#end
#end
      // A loop, not unrolled, since loads of the mask and of padding are code of their own each time.
      for (var own = place.start + y; own < place.stop; own += 8u) {
        let at = weights_at(own - place.start, x);
        let scores = shared_rows[at];
        let slopes = shared_rows[288u + at];
#if OF == 'query'
        let known = statistics[statistics_of(place, own)];
#end
#for j in 0..4
#if OF == 'query'
        // A query that sees no key has no finite logarithm here and gets NaN.
        let weight_$j = select(exp(seen_score(scores[$j], place, own, met_$j) - known.x), 0.0, absent_$j);
        let bent_$j = weight_$j * (slopes[$j] - known.y);
#else
        let score_$j = seen_score(scores[$j], place, met_$j, own);
        // Only -inf hides: a score of NaN must reach the result.
        let hidden_$j = absent_$j || score_$j < -3.4028234e38;
        let weight_$j = select(exp(score_$j - statistics_$j.x), 0.0, hidden_$j);
        let bent_$j = select(weight_$j * (slopes[$j] - statistics_$j.y), 0.0, hidden_$j);
#end
#end
        shared_rows[at] = vec4<f32>(bent_0, bent_1, bent_2, bent_3);
#if OF == 'key_value'
        shared_rows[288u + at] = vec4<f32>(weight_0, weight_1, weight_2, weight_3);
#end
      }
#for c in 0..CHUNKS
#for n in 1..2 + (OF == 'key_value')
#if c + n > 1
      workgroupBarrier();
#end
      for (var i = lane; i < 256u; i += 64u) {
        let met = min(block + i / 8u, last_met);
        shared_rows[576u + i] = tile_part_${n + 2}(first_${n + 2} + met * params.rows${n + 2}RowStride, ${8 * c} + i % 8u);
      }
      workgroupBarrier();
      for (var met = block; met < min(block + 32u, range.y); met += 4u) {
          let m = (met - block) / 4u;
#for j in 0..4
        let met_$j = shared_rows[576u + (4u * m + $j) * 8u + x];
#end
#for i in 0..4
        let weights_$i = shared_rows[${288 * (n - 1)} + weights_at(y + ${8 * i}, m)];
#for j in 0..4
        gradient_${n}_${i * CHUNKS + c} += weights_$i[$j] * met_$j;
#end
#end
      }
#end
#end
    }
#for n in 1..2 + (OF == 'key_value')
#for i in 0..4 * CHUNKS
    whole_$n[$i] += gradient_${n}_$i;
#end
#end
  }
#for n in 1..2 + (OF == 'key_value')
#for c in 0..CHUNKS
  // What an invocation stores it has put there itself.
  workgroupBarrier();
#for i in 0..4
  shared_rows[lane + ${64 * i}] = whole_$n[${i * CHUNKS + c}];
#end
  for (var i = lane; i < min(256u, 8u * (place.stop - place.start)); i += 64u) {
    if (${8 * c} + x < $PARTS) {
#if n == 1
      store_part(gradient_of(place, place.start + i / 8u), ${8 * c} + x, params.scale * shared_rows[i]);
#else
      store_part(gradient_of(place, place.start + i / 8u) + params.gradientValueStride, ${8 * c} + x, shared_rows[i]);
#end
    }
  }
#end
#end
}
