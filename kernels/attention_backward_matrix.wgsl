// Gradients of fused attention for GPUs with units that multiply small matrices of f16: OF 'query' gives that of the query,
// OF 'key_value' those of key and value. Scores are computed again, never stored.
//
// A workgroup has OWN rows, of which each subgroup holds one row of matrices, and meets the others in blocks of MET. Both
// operands of a block lie in the tile at once, since each is a right factor twice: transposed in scores or slopes, and by
// rows in a sum of the gradients. Those sums stay in matrices from the first block to the last: the logarithms of the
// statistics hold for all blocks, so that nothing is rescaled. Scores and slopes go through workgroup memory, since lanes
// cannot tell which elements of a result they hold, and come back rounded to f16 as the factors of the sums.
#include "attention_backward_rows.wgsl"
#include "attention_matrix_tiles.wgsl"
#include "attention_matrices.wgsl"
#include "attention_weight_matrices.wgsl"

// Eight more halves, or four floats, a row, as tokens have them.
const weight_pitch = ${MET + 8}u;
const score_pitch = ${MET + 4}u;
// Of the sums of rows_3, then of those of rows_4.
var<workgroup> weight_tile: array<f16, ${(1 + (OF == 'key_value')) * OWN * (MET + 8)}>;
// Scores, then slopes; at last a column of matrices of a gradient.
var<workgroup> sum_tile: array<f32, ${2 * OWN * (MET + 4)}>;

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
  // Rows of the subgroup begin here in the tile.
  let own_row = lane / $LANES * $MATRIX_ROWS;

  // Rows past the last one repeat it.
#for n in 1..3
  for (var i = lane; i < ${OWN * PARTS}; i += lanes) {
    let at = first_$n + min(place.start + i / $PARTS, last_own) * params.rows${n}RowStride;
    write_part(i / $PARTS, i % $PARTS, part_$n(at, i % $PARTS));
  }
  workgroupBarrier();
#for s in 0..WIDTH/MATRIX_DEPTH
  let own_${n}_$s = own_matrix(own_row * token_pitch + ${s * MATRIX_DEPTH});
#end
  workgroupBarrier();
#end
#for n in 1..2 + (OF == 'key_value')
#for c in 0..WIDTH/MATRIX_COLUMNS
  var gradient_${n}_$c = SumMatrix();
#end
#end
  // Lanes are a multiple of MET: each has to do with one met row of a block.
  let met_row = lane % $MET;
  let range = met_rows(place);
  for (var block = range.x; block < range.y; block += $MET) {
#for n in 3..5
    for (var i = lane; i < ${MET * PARTS}; i += lanes) {
      let at = first_$n + min(block + i / $PARTS, last_met) * params.rows${n}RowStride;
      write_part(${(n - 3) * MET} + i / $PARTS, i % $PARTS, part_$n(at, i % $PARTS));
    }
#end
    workgroupBarrier();
    // Zeros by name: Dawn's SPIR-V gives them to a loop's variables once, not in each iteration.
#for n in 1..3
#for c in 0..MET/MATRIX_COLUMNS
    var products_${n}_$c = SumMatrix();
#for s in 0..WIDTH/MATRIX_DEPTH
    products_${n}_$c = with_product(products_${n}_$c, own_${n}_$s, met_matrix_transposed(${(n - 1) * MET + c * MATRIX_COLUMNS} * token_pitch + ${s * MATRIX_DEPTH}));
#end
    store_sums((${(n - 1) * OWN} + own_row) * score_pitch + ${c * MATRIX_COLUMNS}, score_pitch, products_${n}_$c);
#end
#end
    workgroupBarrier();
    let met = min(block + met_row, last_met);
    let absent = block + met_row > last_met;
#if OF == 'key_value'
    let known = statistics[statistics_of(place, met)];
#end
    for (var row = lane / $MET; row < $OWN; row += lanes / $MET) {
      let own = min(place.start + row, last_own);
      let product = sum_tile[row * score_pitch + met_row];
      let slope = sum_tile[($OWN + row) * score_pitch + met_row];
#if OF == 'query'
      let known = statistics[statistics_of(place, own)];
      // A query that sees no key has no finite logarithm here and gets NaN.
      let weight = select(exp(seen_score(product, place, own, met) - known.x), 0.0, absent);
      weight_tile[row * weight_pitch + met_row] = f16(weight * (slope - known.y));
#else
      let score = seen_score(product, place, met, own);
      // Only -inf hides: a score of NaN must reach the result.
      let hidden = absent || score < -3.4028234e38;
      let weight = select(exp(score - known.x), 0.0, hidden);
      weight_tile[row * weight_pitch + met_row] = f16(select(weight * (slope - known.y), 0.0, hidden));
      weight_tile[($OWN + row) * weight_pitch + met_row] = f16(weight);
#end
    }
    workgroupBarrier();
#for n in 1..2 + (OF == 'key_value')
#for s in 0..MET/MATRIX_DEPTH
    let weights_${n}_$s = weight_matrix((${(n - 1) * OWN} + own_row) * weight_pitch + ${s * MATRIX_DEPTH});
#for c in 0..WIDTH/MATRIX_COLUMNS
    gradient_${n}_$c = with_product(gradient_${n}_$c, weights_${n}_$s, met_matrix(${(n - 1) * MET + s * MATRIX_DEPTH} * token_pitch + ${c * MATRIX_COLUMNS}));
#end
#end
#end
    workgroupBarrier();
  }
#for n in 1..2 + (OF == 'key_value')
#for c in 0..WIDTH/MATRIX_COLUMNS
  store_sums(own_row * $MATRIX_COLUMNS, $MATRIX_COLUMNS, gradient_${n}_$c);
  workgroupBarrier();
  for (var i = lane; i < ${OWN * MATRIX_COLUMNS / 4}; i += lanes) {
    let row = place.start + i / ${MATRIX_COLUMNS / 4};
    if (row < place.stop) {
      let at = 4u * i;
      let components = vec4<f32>(sum_tile[at], sum_tile[at + 1u], sum_tile[at + 2u], sum_tile[at + 3u]);
      let part = ${c * MATRIX_COLUMNS / 4} + i % ${MATRIX_COLUMNS / 4};
#if n == 1
      store_part(gradient_of(place, row), part, params.scale * components);
#else
      store_part(gradient_of(place, row) + params.gradientValueStride, part, components);
#end
    }
  }
  workgroupBarrier();
#end
#end
}
