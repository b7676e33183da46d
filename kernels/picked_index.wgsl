// The entry that a pick points at; what lies past the axis becomes its entry `params.outside`.

fn picked_index(outer: u32, pick: u32) -> u32 {
  return min(indices[params.indexOffset + outer * params.indexOuterStride + pick * params.indexStride], params.outside);
}
