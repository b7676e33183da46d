// Fused attention for adapters where loads are dear and broadcasts from a constant lane cheap (the software
// adapter): softmax(scale * query keyᵀ + mask) value by the online softmax over blocks of KEYS keys, so that no
// score is ever stored. A workgroup is one subgroup and each lane owns a query. Lanes load a key each for the
// scores, and a group of columns each for the weighted sum, which stays in registers.
// Every load is code of its own on that adapter and compiles slowly, so loops run over the parts of a row and over
// the keys of a block, UNROLL at a time; a weight is then picked from KEYS / UNROLL registers.
// A query whose keys are all hidden gives NaN (0 / 0), as PyTorch does.
#include "attention_operands.wgsl"

@compute @workgroup_size($LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = workgroup_index(group, groups);
  if (tile >= params.tiles) {
    return;
  }
  let first_row = (tile % params.rowTiles) * $LANES;
  let head = (tile / params.rowTiles) % params.heads;
  let batch = tile / (params.rowTiles * params.heads);
  // Lanes past the last query repeat it and store nothing.
  let row = min(first_row + lane, params.queries - 1u);
  let query_at = params.queryOffset + batch * params.queryBatchStride + head * params.queryHeadStride + row * params.queryRowStride;
  let key_at = params.keyOffset + batch * params.keyBatchStride + head * params.keyHeadStride;
  let value_at = params.valueOffset + batch * params.valueBatchStride + head * params.valueHeadStride;
#if MASK
  let mask_at = params.maskOffset + batch * params.maskBatchStride + head * params.maskHeadStride + row * params.maskRowStride;
#end
  let last_key = params.keys - 1u;
  let last_seen = min(row + params.keysAhead, last_key);
  let visible = min(params.keys, first_row + $LANES + params.keysAhead);
#for p in 0..PARTS
  var whole_$p = vec4<f32>();
#end
  var highest = -3.4028234e38;
  var whole_highest = highest;
  var whole_total = 0.0;
  for (var span = 0u; span < visible; span += sum_span) {
#for p in 0..PARTS
    var sum_$p = vec4<f32>();
#end
    var total = 0.0;
    let span_end = min(visible, span + sum_span);
    for (var block = span; block < span_end; block += $KEYS) {
#for k in 0..KEYS
      var score_$k = 0.0;
#end
#for g in 0..KEYS / LANES
      let own_$g = min(block + ${g * LANES} + lane, last_key);
      let key_at_$g = key_at + own_$g * params.keyRowStride;
#end
      for (var part = 0u; part < $PARTS; part++) {
        let q = query_part(query_at, part);
#for g in 0..KEYS / LANES
        let key_$g = key_part(key_at_$g, part);
#for k in 0..LANES
        score_${g * LANES + k} += dot(q, subgroupBroadcast(key_$g, $k));
#end
#end
      }
#if PADDING
#for g in 0..KEYS / LANES
      let padding_$g = padding[params.paddingOffset + batch * params.paddingBatchStride + own_$g];
#end
#end
      var new_highest = highest;
#for k in 0..KEYS
      score_$k *= params.scale;
#if MASK
      score_$k += f32(mask[mask_at + min(block + $k, last_key)]);
#end
      var hidden_$k = block + $k > last_seen;
#if PADDING
      hidden_$k = hidden_$k | (subgroupBroadcast(padding_${k / LANES}, ${k % LANES}) != 0u);
#end
      score_$k = select(score_$k, params.minusInfinity, hidden_$k);
      new_highest = max(new_highest, score_$k);
#end
      let rescale = exp(highest - new_highest);
      highest = new_highest;
      total *= rescale;
#for k in 0..KEYS
      let weight_$k = exp(score_$k - highest);
      total += weight_$k;
#end
#for p in 0..PARTS
      sum_$p *= rescale;
#end
      let end = min(${KEYS}u, visible - block);
      for (var k = 0u; k < end; k += $UNROLL) {
#for u in 0..UNROLL
        var weight_now_$u = weight_$u;
#for m in 1..KEYS / UNROLL
        weight_now_$u = select(weight_now_$u, weight_${m * UNROLL + u}, k == ${m * UNROLL});
#end
        let value_at_$u = value_at + min(block + k + $u, last_key) * params.valueRowStride;
#for g in 0..COLUMN_GROUPS
        let value_${u}_$g = value_part(value_at_$u, min(${g * LANES} + lane, ${PARTS - 1}));
#end
#end
        // The keys of an iteration together: sums of fewer additions, at no cost where these are not fused.
#for p in 0..PARTS
        sum_$p += weight_now_0 * subgroupBroadcast(value_0_${p / LANES}, ${p % LANES})
#for u in 1..UNROLL
          + weight_now_$u * subgroupBroadcast(value_${u}_${p / LANES}, ${p % LANES})
#end
          ;
#end
      }
    }
    // What came before follows the highest score once a span.
    let rescale = exp(whole_highest - highest);
    whole_highest = highest;
    whole_total = whole_total * rescale + total;
#for p in 0..PARTS
    whole_$p = whole_$p * rescale + sum_$p;
#end
  }
  if (first_row + lane >= params.queries) {
    return;
  }
  let result_at = params.resultOffset + batch * params.resultBatchStride + head * params.resultHeadStride + row * params.resultRowStride;
  for (var part = 0u; part < $PARTS; part++) {
    var whole = whole_0;
#for p in 1..PARTS
    whole = select(whole, whole_$p, part == $p);
#end
    store_part(result_at, part, whole / whole_total);
  }
}
