// Kernels that go through dense operands of one size side by side, in vectors of WIDTH elements. Each workgroup takes
// a span of neighbouring vectors, its lanes in turns.
#include "grid.wgsl"

struct Span {
  first: u32,
  end: u32,
}

fn stream_span(group: vec3<u32>, groups: vec3<u32>) -> Span {
  // Surplus workgroups of a spread grid start past the end.
  let first = workgroup_index(group, groups) * params.span;
  return Span(first, min(params.vectors, first + params.span));
}
