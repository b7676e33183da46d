// Linear index of a workgroup of a grid that was spread over two dimensions (see spreadWorkgroups).
fn workgroup_index(id: vec3<u32>, count: vec3<u32>) -> u32 {
  return id.y * count.x + id.x;
}
