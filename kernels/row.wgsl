// Kernels that treat rows (the last dimension) whole, WIDTH columns at a time: `params.columns` counts those.
#include "row_walk.wgsl"
#include "row_offsets.wgsl"
#include "column_vectors.wgsl"
