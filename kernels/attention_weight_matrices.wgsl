// Matrices of what met tokens are multiplied by in the sums of own ones.
fn weight_matrix(at: u32) -> LeftMatrix {
  return subgroupMatrixLoad<LeftMatrix, row_major>(&weight_tile, at, weight_pitch);
}
