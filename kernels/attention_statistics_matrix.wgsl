// For the gradients of fused attention: of each query the logarithm of the sum of exp(score) over the keys, and the sum
// of output * output gradient, which is the mean slope of its weights. Scores as in attention_backward_matrix.wgsl; lanes that
// share a row keep its highest score, and what they summed up of it themselves.
#include "attention_backward_rows.wgsl"
#include "attention_matrix_tiles.wgsl"
#include "attention_matrices.wgsl"

const score_pitch = ${MET + 4}u;
var<workgroup> sum_tile: array<f32, ${OWN * (MET + 4)}>;

@compute @workgroup_size(${SUBGROUPS * LANES})
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
  let last_own = params.ownRows - 1u;
  let last_met = params.metRows - 1u;
  let own_row = lane / $LANES * $MATRIX_ROWS;

  for (var i = lane; i < ${OWN * PARTS}; i += lanes) {
    let at = first_1 + min(place.start + i / $PARTS, last_own) * params.rows1RowStride;
    write_part(i / $PARTS, i % $PARTS, part_1(at, i % $PARTS));
  }
  workgroupBarrier();
#for s in 0..WIDTH/MATRIX_DEPTH
  let own_$s = own_matrix(own_row * token_pitch + ${s * MATRIX_DEPTH});
#end
  // The row that the lane has a part in.
  let tile_row = own_row + lane % $LANES / $SHARE;
  let own_part = lane % $SHARE;
  let own = min(place.start + tile_row, last_own);
  var highest = -3.4028234e38;
  var total = 0.0;
  let range = met_rows(place);
  for (var block = range.x; block < range.y; block += $MET) {
    workgroupBarrier();
    for (var i = lane; i < ${MET * PARTS}; i += lanes) {
      let at = first_3 + min(block + i / $PARTS, last_met) * params.rows3RowStride;
      write_part(i / $PARTS, i % $PARTS, part_3(at, i % $PARTS));
    }
    workgroupBarrier();
    // Zeros by name: Dawn's SPIR-V gives them to a loop's variables once, not in each iteration.
#for c in 0..MET/MATRIX_COLUMNS
    var products_$c = SumMatrix();
#for s in 0..WIDTH/MATRIX_DEPTH
    products_$c = with_product(products_$c, own_$s, met_matrix_transposed(${c * MATRIX_COLUMNS} * token_pitch + ${s * MATRIX_DEPTH}));
#end
    store_sums(own_row * score_pitch + ${c * MATRIX_COLUMNS}, score_pitch, products_$c);
#end
    workgroupBarrier();
    var scores: array<f32, ${MET / SHARE}>;
    var new_highest = highest;
    for (var k = 0u; k < ${MET / SHARE}; k++) {
      let met_row = k * $SHARE + own_part;
      let met = min(block + met_row, last_met);
      let score = seen_score(sum_tile[tile_row * score_pitch + met_row], place, own, met);
      scores[k] = select(score, params.minusInfinity, block + met_row > last_met);
      new_highest = max(new_highest, scores[k]);
    }
    total *= exp(highest - new_highest);
    highest = new_highest;
    for (var k = 0u; k < ${MET / SHARE}; k++) {
      total += exp(scores[k] - highest);
    }
  }
  let row_highest = shared_max(highest);
  let row_total = shared_sum(total * exp(highest - row_highest));
  var slope = 0.0;
  for (var part = own_part; part < $PARTS; part += $SHARE) {
    slope += dot(
      part_2(first_2 + own * params.rows2RowStride, part),
      part_4(first_4 + own * params.rows4RowStride, part),
    );
  }
  slope = shared_sum(slope);
  if (own_part == 0u && place.start + tile_row < place.stop) {
    statistics[statistics_of(place, own)] = vec2<f32>(row_highest + log(row_total), slope);
  }
}
