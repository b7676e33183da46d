// Matrices of tokens, which pass through the same tile by rows: those that a workgroup owns, and those that they meet.
#include "subgroup_matrix.wgsl"

fn own_matrix(at: u32) -> LeftMatrix {
  return subgroupMatrixLoad<LeftMatrix, row_major>(&token_tile, at, token_pitch);
}

// A token a row.
fn met_matrix(at: u32) -> RightMatrix {
  return subgroupMatrixLoad<RightMatrix, row_major>(&token_tile, at, token_pitch);
}

// A token a column.
fn met_matrix_transposed(at: u32) -> RightMatrix {
  return subgroupMatrixLoad<RightMatrix, col_major>(&token_tile, at, token_pitch);
}
