// What all matmul kernels share: the tile of a workgroup, where the matrices of a batch entry start, and what happens
// to a finished sum before it is stored: scale, bias, activation, residual, in this order.
#include "activation.wgsl"
#include "grid.wgsl"
#include "sum_span.wgsl"

alias Floats = f32;
alias Words = u32;

// Where there is none, something else is bound, and not read.
@group(0) @binding(3) var<storage, read> bias: array<$BIAS_TYPE>;
@group(0) @binding(4) var<storage, read> residual: array<$RESIDUAL_TYPE>;
@group(0) @binding(5) var<storage, read_write> result: array<$RESULT>;

// The results that a workgroup computes, from this row and column on.
struct Tile {
  row: u32,
  column: u32,
  batch: u32,
}

// Workgroups count rows first, so that neighbours read the same columns of the right operand.
fn tile_of(group: vec3<u32>, count: vec3<u32>) -> Tile {
  let index = workgroup_index(group, count);
  let tiles_down = (params.rows + ${TILE_ROWS - 1}u) / ${TILE_ROWS}u;
  let tiles_across = (params.columns + ${TILE_COLUMNS - 1}u) / ${TILE_COLUMNS}u;
  let across = index / tiles_down;
  return Tile(index % tiles_down * ${TILE_ROWS}u, across % tiles_across * ${TILE_COLUMNS}u, across / tiles_across);
}

struct BatchOffsets {
  left: u32,
  right: u32,
  residual: u32,
  result: u32,
}

// Where the matrices of a batch entry start; the batch has an outer and an inner dimension.
fn batch_offsets(batch: u32) -> BatchOffsets {
  let outer = batch / params.innerBatch;
  let inner = batch % params.innerBatch;
  return BatchOffsets(
    params.leftOffset + outer * params.leftOuterStride + inner * params.leftInnerStride,
    params.rightOffset + outer * params.rightOuterStride + inner * params.rightInnerStride,
    params.residualOffset + outer * params.residualOuterStride + inner * params.residualInnerStride,
    params.resultOffset + outer * params.resultOuterStride + inner * params.resultInnerStride,
  );
}

fn store(offsets: BatchOffsets, row: u32, column: u32, sum: f32) {
  var value = sum * params.scale;
  if (params.hasBias != 0u) {
    value += f32(bias[params.biasOffset + column]);
  }
  if (params.activation == 1u) {
    value = gelu(value);
  } else if (params.activation == 2u) {
    value = quick_gelu(value);
  }
  if (params.hasResidual != 0u) {
    value += f32(residual[offsets.residual + row * params.residualRowStride + column]);
  }
  result[offsets.result + row * params.resultRowStride + column] = $RESULT(value);
}
