// The matrices that a subgroup multiplies as one: MATRIX_ROWS x MATRIX_DEPTH times MATRIX_DEPTH x MATRIX_COLUMNS, f16,
// added up in f32. They are loaded from and stored to arrays in workgroup memory.
alias LeftMatrix = subgroup_matrix_left<f16, $MATRIX_DEPTH, $MATRIX_ROWS>;
alias RightMatrix = subgroup_matrix_right<f16, $MATRIX_COLUMNS, $MATRIX_DEPTH>;
alias SumMatrix = subgroup_matrix_result<f32, $MATRIX_COLUMNS, $MATRIX_ROWS>;

fn with_product(sums: SumMatrix, left: LeftMatrix, right: RightMatrix) -> SumMatrix {
  return subgroupMatrixMultiplyAccumulate(left, right, sums);
}

fn store_sums(at: u32, pitch: u32, sums: SumMatrix) {
  subgroupMatrixStore<row_major>(&sum_tile, at, sums, pitch);
}
