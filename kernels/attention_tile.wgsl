// Fused attention, one query an invocation: softmax(scale * query keyᵀ + mask) value by the online softmax over
// blocks of KEYS keys in workgroup memory, so that no score is ever stored. The query and its weighted sum stay in
// registers, WIDTH being known to the compiler.
// A query whose keys are all hidden gives NaN (0 / 0), as PyTorch does.
#include "attention_operands.wgsl"

var<workgroup> shared_keys: array<vec4<f32>, ${KEYS * PARTS}>;
var<workgroup> shared_values: array<vec4<f32>, ${KEYS * PARTS}>;

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
  // Invocations past the last query repeat it and store nothing.
  let row = min(first_row + lane, params.queries - 1u);
  let query_at = params.queryOffset + batch * params.queryBatchStride + head * params.queryHeadStride + row * params.queryRowStride;
  let key_at = params.keyOffset + batch * params.keyBatchStride + head * params.keyHeadStride;
  let value_at = params.valueOffset + batch * params.valueBatchStride + head * params.valueHeadStride;
#if MASK
  let mask_at = params.maskOffset + batch * params.maskBatchStride + head * params.maskHeadStride + row * params.maskRowStride;
#end
#if PADDING
  let padding_at = params.paddingOffset + batch * params.paddingBatchStride;
#end
  let last_key = params.keys - 1u;
  let last_seen = min(row + params.keysAhead, last_key);
  let visible = min(params.keys, first_row + $LANES + params.keysAhead);
#for p in 0..PARTS
  let query_$p = query_part(query_at, $p);
#end
  // Touched once a span: they may lie in memory, so that the running sums have the registers.
  var wholes: array<vec4<f32>, $PARTS>;
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
      workgroupBarrier();
      for (var i = lane; i < ${KEYS * PARTS}; i += $LANES) {
        let own = min(block + i / $PARTS, last_key);
        shared_keys[i] = key_part(key_at + own * params.keyRowStride, i % $PARTS);
        shared_values[i] = value_part(value_at + own * params.valueRowStride, i % $PARTS);
      }
      workgroupBarrier();
      var scores: array<f32, $KEYS>;
      var new_highest = highest;
      for (var k = 0u; k < $KEYS; k++) {
        var score = 0.0;
#for p in 0..PARTS
        score += dot(query_$p, shared_keys[k * $PARTS + $p]);
#end
        score *= params.scale;
        let j = block + k;
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
      let rescale = exp(highest - new_highest);
      highest = new_highest;
      total *= rescale;
#for p in 0..PARTS
      sum_$p *= rescale;
#end
      for (var k = 0u; k < $KEYS; k++) {
        let weight = exp(scores[k] - highest);
        total += weight;
#for p in 0..PARTS
        sum_$p += weight * shared_values[k * $PARTS + $p];
#end
      }
    }
    // What came before follows the highest score once a span.
    let rescale = exp(whole_highest - highest);
    whole_highest = highest;
    whole_total = whole_total * rescale + total;
#for p in 0..PARTS
    wholes[$p] = wholes[$p] * rescale + sum_$p;
#end
  }
  if (first_row + lane >= params.queries) {
    return;
  }
  let result_at = params.resultOffset + batch * params.resultBatchStride + head * params.resultHeadStride + row * params.resultRowStride;
#for p in 0..PARTS
  store_part(result_at, $p, wholes[$p] / whole_total);
#end
}
