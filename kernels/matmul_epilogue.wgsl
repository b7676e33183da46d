// What happens to a finished sum before it is stored: scale, bias, activation, residual, in this order.
#include "activation.wgsl"

#if BIAS
@group(0) @binding(3) var<storage, read> bias: array<$BIAS_TYPE>;
#end
#if RESIDUAL
@group(0) @binding(${3 + BIAS}) var<storage, read> residual: array<$RESIDUAL_TYPE>;
#end
@group(0) @binding(${3 + BIAS + RESIDUAL}) var<storage, read_write> result: array<$RESULT>;

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
#if BIAS
  value += f32(bias[params.biasOffset + column]);
#end
#if ACTIVATION != 'none'
  value = ${ACTIVATION}(value);
#end
#if RESIDUAL
  value += f32(residual[offsets.residual + row * params.residualRowStride + column]);
#end
  result[offsets.result + row * params.resultRowStride + column] = $RESULT(value);
}
