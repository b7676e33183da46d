// Fused attention for GPUs with units that multiply small matrices of f16: softmax(scale * query keyᵀ + mask) value by the
// online softmax over blocks of KEYS keys. A workgroup has ROWS queries, of which each subgroup holds one row of matrices.
// Keys, then values of a block pass through workgroup memory as f16. So do its weights, rounded, on their way from the
// first product to the second; scores and sums are f32.
//
// Lanes cannot tell which elements of a result they hold, so scores go through workgroup memory to be masked, and what a
// block adds to the weighted sums goes there too, for lanes to add to sums of their own, which follow the highest score.
// The other way, the highest scores and totals first and then sums that need no rescaling, loads keys twice, multiplies
// three times instead of twice and waits six times a block instead of four: in blocks of 32, 42 times for 197 keys instead
// of 28, and 54 times for 257 instead of 36. As many bytes go through workgroup memory for heads 64 wide: what it saves of
// sums, it adds of keys and scores.
// A query whose keys are all hidden gives NaN (0 / 0), as PyTorch does.
#include "attention_operands.wgsl"
#include "attention_matrix_tiles.wgsl"
#include "attention_matrices.wgsl"
#include "attention_weight_matrices.wgsl"

// Eight more halves, or four floats, a row, as tokens have them.
const weight_pitch = ${KEYS + 8}u;
const score_pitch = ${KEYS + 4}u;
var<workgroup> weight_tile: array<f16, ${ROWS * (KEYS + 8)}>;
// Scores and weighted sums of a block by turns.
var<workgroup> sum_tile: array<f32, $SUMS>;
// By which what came before the last block shrinks.
var<workgroup> row_factors: array<f32, $ROWS>;
var<workgroup> row_totals: array<f32, $ROWS>;

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
  let first_row = (tile % params.rowTiles) * $ROWS;
  let head = (tile / params.rowTiles) % params.heads;
  let batch = tile / (params.rowTiles * params.heads);
  let query_at = params.queryOffset + batch * params.queryBatchStride + head * params.queryHeadStride;
  let key_at = params.keyOffset + batch * params.keyBatchStride + head * params.keyHeadStride;
  let value_at = params.valueOffset + batch * params.valueBatchStride + head * params.valueHeadStride;
  let result_at = params.resultOffset + batch * params.resultBatchStride + head * params.resultHeadStride;
#if PADDING
  let padding_at = params.paddingOffset + batch * params.paddingBatchStride;
#end
  let last_query = params.queries - 1u;
  let last_key = params.keys - 1u;
  let visible = min(params.keys, first_row + $ROWS + params.keysAhead);
  let own_lane = lane % $LANES;
  // Rows of the subgroup begin here in the tile.
  let own_row = lane / $LANES * $MATRIX_ROWS;
  let own_part = own_lane % $SHARE;

  // Rows past the last query or key repeat it.
  for (var i = lane; i < ${ROWS * PARTS}; i += lanes) {
    let at = query_at + min(first_row + i / $PARTS, last_query) * params.queryRowStride;
    write_part(i / $PARTS, i % $PARTS, query_part(at, i % $PARTS));
  }
  workgroupBarrier();
#for s in 0..WIDTH/MATRIX_DEPTH
  let query_$s = own_matrix(own_row * token_pitch + ${s * MATRIX_DEPTH});
#end
  // The row whose softmax the lane has a part in.
  let tile_row = own_row + own_lane / $SHARE;
  let row = min(first_row + tile_row, last_query);
  let last_seen = min(row + params.keysAhead, last_key);
#if MASK
  let mask_at = params.maskOffset + batch * params.maskBatchStride + head * params.maskHeadStride + row * params.maskRowStride;
#end
  var highest = -3.4028234e38;
  var total = 0.0;
#for e in 0..MATRIX_ROWS*WIDTH/LANES
  var sum_$e = 0.0;
#end
  workgroupBarrier();
  for (var block = 0u; block < visible; block += $KEYS) {
    for (var i = lane; i < ${KEYS * PARTS}; i += lanes) {
      let at = key_at + min(block + i / $PARTS, last_key) * params.keyRowStride;
      write_part(i / $PARTS, i % $PARTS, key_part(at, i % $PARTS));
    }
    workgroupBarrier();
    // Zeros by name: Dawn's SPIR-V gives them to a loop's variables once, not in each iteration.
#for c in 0..KEYS/MATRIX_COLUMNS
    var scores_$c = SumMatrix();
#for s in 0..WIDTH/MATRIX_DEPTH
    scores_$c = with_product(scores_$c, query_$s, met_matrix_transposed(${c * MATRIX_COLUMNS} * token_pitch + ${s * MATRIX_DEPTH}));
#end
    store_sums(own_row * score_pitch + ${c * MATRIX_COLUMNS}, score_pitch, scores_$c);
#end
    workgroupBarrier();
    for (var i = lane; i < ${KEYS * PARTS}; i += lanes) {
      let at = value_at + min(block + i / $PARTS, last_key) * params.valueRowStride;
      write_part(i / $PARTS, i % $PARTS, value_part(at, i % $PARTS));
    }
    var scores: array<f32, ${KEYS / SHARE}>;
    var new_highest = highest;
    for (var k = 0u; k < ${KEYS / SHARE}; k++) {
      let place = k * $SHARE + own_part;
      let j = block + place;
      var score = sum_tile[tile_row * score_pitch + place] * params.scale;
      var hidden = j > last_seen;
#if MASK
      score += f32(mask[mask_at + min(j, last_key)]);
#end
#if PADDING
      hidden = hidden || padding[padding_at + min(j, last_key)] != 0u;
#end
      scores[k] = select(score, params.minusInfinity, hidden);
      new_highest = max(new_highest, scores[k]);
    }
    new_highest = shared_max(new_highest);
    let factor = exp(highest - new_highest);
    highest = new_highest;
    var block_total = 0.0;
    for (var k = 0u; k < ${KEYS / SHARE}; k++) {
      let weight = f16(exp(scores[k] - highest));
      weight_tile[tile_row * weight_pitch + k * $SHARE + own_part] = weight;
      // Of what is multiplied, so that weights add up to one.
      block_total += f32(weight);
    }
    total = total * factor + shared_sum(block_total);
    if (own_part == 0u) {
      row_factors[tile_row] = factor;
      row_totals[tile_row] = total;
    }
    workgroupBarrier();
#for s in 0..KEYS/MATRIX_DEPTH
    let weights_$s = weight_matrix(own_row * weight_pitch + ${s * MATRIX_DEPTH});
#end
#for c in 0..WIDTH/MATRIX_COLUMNS
    var products_$c = SumMatrix();
#for s in 0..KEYS/MATRIX_DEPTH
    products_$c = with_product(products_$c, weights_$s, met_matrix(${s * MATRIX_DEPTH} * token_pitch + ${c * MATRIX_COLUMNS}));
#end
    store_sums(own_row * $WIDTH + ${c * MATRIX_COLUMNS}, $WIDTH, products_$c);
#end
    workgroupBarrier();
#for e in 0..MATRIX_ROWS*WIDTH/LANES
    sum_$e = sum_$e * row_factors[own_row + (own_lane + ${e * LANES}) / $WIDTH] +
      sum_tile[own_row * $WIDTH + own_lane + ${e * LANES}];
#end
  }
#for e in 0..MATRIX_ROWS*WIDTH/LANES
  sum_tile[own_row * $WIDTH + own_lane + ${e * LANES}] =
    sum_$e / row_totals[own_row + (own_lane + ${e * LANES}) / $WIDTH];
#end
  workgroupBarrier();
  for (var i = lane; i < ${ROWS * PARTS}; i += lanes) {
    let stored_row = first_row + i / $PARTS;
    if (stored_row < params.queries) {
      let at = 4u * i;
      let components = vec4<f32>(sum_tile[at], sum_tile[at + 1u], sum_tile[at + 2u], sum_tile[at + 3u]);
      store_part(result_at + stored_row * params.resultRowStride, i % $PARTS, components);
    }
  }
}
