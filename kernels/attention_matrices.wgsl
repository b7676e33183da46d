// Matrices of queries, keys and values, which pass through the same tile by rows, and of the weights of keys.
#include "subgroup_matrix.wgsl"

fn query_matrix(at: u32) -> LeftMatrix {
  return subgroupMatrixLoad<LeftMatrix, row_major>(&token_tile, at, token_pitch);
}

// A key a column.
fn key_matrix(at: u32) -> RightMatrix {
  return subgroupMatrixLoad<RightMatrix, col_major>(&token_tile, at, token_pitch);
}

fn weight_matrix(at: u32) -> LeftMatrix {
  return subgroupMatrixLoad<LeftMatrix, row_major>(&weight_tile, at, weight_pitch);
}

// A value a row.
fn value_matrix(at: u32) -> RightMatrix {
  return subgroupMatrixLoad<RightMatrix, row_major>(&token_tile, at, token_pitch);
}
