// What the tile kernels of attention's gradients share: blocks of 32 rows in workgroup memory.
//
// For the products, 32 rows of each operand, four parts of each at a time; five vectors a row, and met rows ordered by
// their last two bits, keep the reads of 8 neighbours in different banks. For the sums, weights (rows of 8 vectors,
// nine apart) lie over the first operands, and 32 rows of eight parts behind them.
#if OF == 'statistics'
var<workgroup> shared_rows: array<vec4<f32>, 896>;
#else
var<workgroup> shared_rows: array<vec4<f32>, 832>;
#end

// Where part i % 4 of own row i / 4 lies, and where it is read.
fn own_slot(i: u32) -> u32 {
  return own_read(i / 4u, i % 4u);
}

fn own_read(row: u32, part: u32) -> u32 {
  return row * 5u + part;
}

// The same of met row i / 4; invocation x reads its row 4 x + j.
fn met_slot(i: u32) -> u32 {
  let row = i / 4u;
  return met_read(row / 4u, row % 4u, i % 4u);
}

fn met_read(x: u32, j: u32, part: u32) -> u32 {
  return (j * 8u + x) * 5u + part;
}

fn weights_at(row: u32, part: u32) -> u32 {
  return row * 9u + part;
}

#for n in 1..5
fn tile_part_$n(at: u32, part: u32) -> vec4<f32> {
  if (part >= $PARTS) {
    return vec4<f32>();
  }
  return part_$n(at, part);
}
#end
