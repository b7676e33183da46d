// Matrices of a product's operands, from their tiles.
#include "subgroup_matrix.wgsl"

fn left_matrix(at: u32) -> LeftMatrix {
  return subgroupMatrixLoad<LeftMatrix, $LEFT_ORDER>(&left_tile, at, left_pitch);
}

fn right_matrix(at: u32) -> RightMatrix {
  return subgroupMatrixLoad<RightMatrix, $RIGHT_ORDER>(&right_tile, at, right_pitch);
}
