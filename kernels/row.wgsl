// Kernels that treat one row (the last dimension) a workgroup.
#include "row_lanes.wgsl"
#include "row_offsets.wgsl"
