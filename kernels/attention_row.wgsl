// Fused attention, one query row a workgroup: softmax(scale * query keyᵀ + mask) value by the online softmax, so
// that no score is ever stored. Lanes share a block of keys for the scores and the head's components for the
// weighted sum. The form for few queries (a decode step).
// A row whose keys are all masked gives NaN, as PyTorch does.
#include "row_lanes.wgsl"
#include "sum_span.wgsl"

@group(0) @binding(1) var<storage, read> query: array<$QUERY>;
@group(0) @binding(2) var<storage, read> key: array<$KEY>;
@group(0) @binding(3) var<storage, read> value: array<$VALUE>;
#if MASK
@group(0) @binding(4) var<storage, read> mask: array<$MASK_TYPE>;
#end
#if PADDING
@group(0) @binding(${4 + MASK}) var<storage, read> padding: array<u32>;
#end
@group(0) @binding(${4 + MASK + PADDING}) var<storage, read_write> result: array<$RESULT>;

#if !SUBGROUP
var<workgroup> shared_weights: array<f32, $WORKGROUP>;
#end

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = workgroup_index(group, groups);
  if (index >= params.rows) {
    return;
  }
  let row = index % params.queries;
  let head = (index / params.queries) % params.heads;
  let batch = index / (params.queries * params.heads);
  let query_at = params.queryOffset + batch * params.queryBatchStride + head * params.queryHeadStride + row * params.queryRowStride;
  let key_at = params.keyOffset + batch * params.keyBatchStride + head * params.keyHeadStride;
  let value_at = params.valueOffset + batch * params.valueBatchStride + head * params.valueHeadStride;
  let visible = min(params.keys, row + 1u + params.keysAhead);
  var highest = -3.4028234e38;
  var whole_highest = highest;
  var whole_total = 0.0;
#for p in 0..PARTS
  var whole_$p = 0.0;
#end
  for (var span = 0u; span < visible; span += sum_span) {
    var total = 0.0;
#for p in 0..PARTS
    var sum_$p = 0.0;
#end
    let span_end = min(visible, span + sum_span);
    for (var block = span; block < span_end; block += $WORKGROUP) {
      let j = block + lane;
      var score = -3.4028234e38;
      var weight = 0.0;
      var seen = j < visible;
      if (seen) {
        var dot = 0.0;
        let source = key_at + j * params.keyRowStride;
        for (var d = 0u; d < params.width; d++) {
          dot += f32(query[query_at + d]) * f32(key[source + d]);
        }
        score = dot * params.scale;
#if MASK
        score += f32(mask[params.maskOffset + batch * params.maskBatchStride + head * params.maskHeadStride + row * params.maskRowStride + j]);
#end
#if PADDING
        seen = padding[params.paddingOffset + batch * params.paddingBatchStride + j] == 0u;
#end
        // Only -inf hides a key: a score of NaN must reach the result.
        seen = seen && !(score < -3.4028234e38);
        score = select(-3.4028234e38, score, seen);
      }
      let new_highest = max(highest, row_max(score, lane));
      weight = select(0.0, exp(score - new_highest), seen);
      let rescale = exp(highest - new_highest);
      total = total * rescale + row_sum(weight, lane);
      highest = new_highest;
#for p in 0..PARTS
      sum_$p *= rescale;
#end
#if !SUBGROUP
      shared_weights[lane] = weight;
      workgroupBarrier();
#end
      let count = min(${WORKGROUP}u, span_end - block);
      for (var c = 0u; c < count; c++) {
#if SUBGROUP
        let w = subgroupShuffle(weight, c);
#else
        let w = shared_weights[c];
#end
        let source = value_at + (block + c) * params.valueRowStride;
#for p in 0..PARTS
        if (${p * WORKGROUP} + lane < params.width) {
          sum_$p += w * f32(value[source + ${p * WORKGROUP} + lane]);
        }
#end
      }
#if !SUBGROUP
      workgroupBarrier();
#end
    }
    let rescale = exp(whole_highest - highest);
    whole_highest = highest;
    whole_total = whole_total * rescale + total;
#for p in 0..PARTS
    whole_$p = whole_$p * rescale + sum_$p;
#end
  }
  let result_at = params.resultOffset + batch * params.resultBatchStride + head * params.resultHeadStride + row * params.resultRowStride;
#for p in 0..PARTS
  if (${p * WORKGROUP} + lane < params.width) {
    result[result_at + ${p * WORKGROUP} + lane] = $RESULT(whole_$p / whole_total);
  }
#end
}
