// What the kernels of attention's gradients share. A workgroup owns some rows and meets all others one after another.
// Where queries are owned, keys are met, and the other way round. Of each pair of rows two products are made: the
// score (query · key) and the slope of the softmax' weight (output gradient · value). The operands:
//
//   OF             rows_1 (own)  rows_2 (own)     rows_3 (met)  rows_4 (met)
//   'statistics'   query         output gradient  key           output (own)
//   'query'        query         output gradient  key           value
//   'key_value'    key           value            query         output gradient
//
// So rows_1 · rows_3 is the score, rows_2 · rows_4 the slope. A row is read in parts of four components, as vectors
// where strides allow; a part that reaches past the row's width has zeros there.
#include "grid.wgsl"
#include "sum_span.wgsl"

alias Rows1 = $ROWS_1;
alias Rows2 = $ROWS_2;
alias Rows3 = $ROWS_3;
alias Rows4 = $ROWS_4;

#for n in 1..5
#if VECTORS
@group(0) @binding($n) var<storage, read> rows_$n: array<vec4<Rows$n>>;

fn part_$n(at: u32, part: u32) -> vec4<f32> {
  return vec4<f32>(rows_$n[at / 4u + part]);
}
#else
@group(0) @binding($n) var<storage, read> rows_$n: array<Rows$n>;

fn part_$n(at: u32, part: u32) -> vec4<f32> {
  var components = vec4<f32>();
  for (var c = 0u; c < min(4u, $WIDTH - 4u * part); c++) {
    components[c] = f32(rows_$n[at + 4u * part + c]);
  }
  return components;
}
#end

fn first_of_$n(place: Place) -> u32 {
  return params.rows${n}Offset + place.batch * params.rows${n}BatchStride + place.head * params.rows${n}HeadStride;
}
#end

#if MASK
@group(0) @binding(5) var<storage, read> mask: array<$MASK_TYPE>;
#end
#if PADDING
@group(0) @binding(${5 + MASK}) var<storage, read> padding: array<u32>;
#end

// Of each query the logarithm of the sum of its exponentials, and the mean slope under its weights.
#if OF == 'statistics'
@group(0) @binding(${5 + MASK + PADDING}) var<storage, read_write> statistics: array<vec2<f32>>;
#else
@group(0) @binding(${5 + MASK + PADDING}) var<storage, read> statistics: array<vec2<f32>>;

#if VECTORS
@group(0) @binding(${6 + MASK + PADDING}) var<storage, read_write> gradient: array<vec4<$GRADIENT>>;

fn store_part(at: u32, part: u32, components: vec4<f32>) {
  gradient[at / 4u + part] = vec4<$GRADIENT>(components);
}
#else
@group(0) @binding(${6 + MASK + PADDING}) var<storage, read_write> gradient: array<$GRADIENT>;

fn store_part(at: u32, part: u32, components: vec4<f32>) {
  for (var c = 0u; c < min(4u, $WIDTH - 4u * part); c++) {
    gradient[at + 4u * part + c] = $GRADIENT(components[c]);
  }
}
#end

fn gradient_of(place: Place, row: u32) -> u32 {
  return params.gradientOffset + place.batch * params.gradientBatchStride + place.head * params.gradientHeadStride
    + row * params.gradientRowStride;
}
#end

// What a workgroup works on: the rows from `start` to `stop` of a head.
struct Place {
  batch: u32,
  head: u32,
  start: u32,
  stop: u32,
}

fn place_of(tile: u32) -> Place {
  let start = (tile % params.rowTiles) * $OWN;
  return Place(
    tile / (params.rowTiles * params.heads),
    (tile / params.rowTiles) % params.heads,
    start,
    min(start + $OWN, params.ownRows),
  );
}

fn statistics_of(place: Place, query: u32) -> u32 {
  return (params.statisticsOffset + place.batch * params.statisticsBatchStride + place.head * params.statisticsHeadStride)
    / 2u + query;
}

// The score of a query and a key: -inf where the key is hidden from the query.
fn seen_score(product: f32, place: Place, query: u32, key: u32) -> f32 {
  var score = product * params.scale;
#if MASK
  score += f32(mask[params.maskOffset + place.batch * params.maskBatchStride + place.head * params.maskHeadStride
    + query * params.maskRowStride + key]);
#end
  score = select(score, params.minusInfinity, key > query + params.keysAhead);
#if PADDING
  let padded = padding[params.paddingOffset + place.batch * params.paddingBatchStride + key] != 0u;
  score = select(score, params.minusInfinity, padded);
#end
  return score;
}

// The first and the end of the rows that a workgroup meets.
fn met_rows(place: Place) -> vec2<u32> {
#if OF == 'key_value'
  return vec2<u32>(place.start - min(place.start, params.keysAhead), params.metRows);
#else
  return vec2<u32>(0u, min(place.stop + params.keysAhead, params.metRows));
#end
}
