// Kernels that go through sets of dense operands, those of a set of one size and side by side, in vectors of WIDTH elements.
// Workgroups are shared out to the sets in their order; each takes a span of neighbouring vectors, its lanes in turns.

struct Span {
  first: u32,
  end: u32,
}

// What a workgroup takes of a set, whose own workgroups begin at `first`: nothing where it is one of another set's. Those before
// it wrap around to numbers past its end.
fn set_span(workgroup: u32, first: u32, vectors: u32) -> Span {
  let own = min(workgroup - first, (vectors + params.span - 1u) / params.span);
  let start = min(own * params.span, vectors);
  return Span(start, min(vectors, start + params.span));
}
