// result[outer, index[outer, j], :] += scale * gradient[outer, j, :], the backward of a gather and of an embedding.
// The picks come sorted (sort_indices.wgsl): those of one entry lie side by side, and the workgroup at the first of
// them adds them all up in their order, so that no two write one entry and the sum has one order. In blocks of 64 terms,
// so that sums of thousands keep their digits. A result larger than a binding comes in windows of its entries.
#include "grid.wgsl"
#include "picked_index.wgsl"

@group(0) @binding(1) var<storage, read> gradient: array<$GRADIENT>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> order: array<u32>;
@group(0) @binding(4) var<storage, read_write> result: array<$RESULT>;

fn ordered_pick(outer: u32, place: u32) -> u32 {
  return order[params.orderOffset + outer * params.picks + place];
}

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = workgroup_index(group, groups);
  let first_column = (block % params.columnBlocks) * $WORKGROUP + lane;
  let first_slot = (block / params.columnBlocks) * params.span;
  let end_slot = min(params.slots, first_slot + params.span);
  for (var slot = first_slot; slot < end_slot; slot++) {
    let outer = slot / params.picks;
    let first = slot % params.picks;
    let entry = picked_index(outer, ordered_pick(outer, first));
    if (entry < params.windowStart || entry - params.windowStart >= params.windowEntries) {
      continue;
    }
    if (first > 0u && picked_index(outer, ordered_pick(outer, first - 1u)) == entry) {
      continue;
    }
    var end = first + 1u;
    while (end < params.picks && picked_index(outer, ordered_pick(outer, end)) == entry) {
      end++;
    }
    let gradient_at = params.gradientOffset + outer * params.gradientOuterStride;
    let result_at =
      params.resultOffset + outer * params.resultOuterStride + (entry - params.windowStart) * params.resultStride;
    for (var column = first_column; column < params.columns; column += params.columnBlocks * $WORKGROUP) {
      var total = $FLOATS();
      for (var start = first; start < end; start += 64u) {
        var sum = $FLOATS();
        for (var place = start; place < min(end, start + 64u); place++) {
          sum += $FLOATS(gradient[gradient_at + ordered_pick(outer, place) * params.gradientStride + column]);
        }
        total += sum;
      }
      result[result_at + column] = $RESULT($FLOATS(result[result_at + column]) + params.scale * total);
    }
  }
}
