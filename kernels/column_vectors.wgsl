// The columns of a row that are taken at once, WIDTH of them, as floats.
alias Floats = $FLOATS;

fn first_of(values: Floats) -> f32 {
#if WIDTH == 4
  return values.x;
#else
  return values;
#end
}

fn sum_of(values: Floats) -> f32 {
#if WIDTH == 4
  return values.x + values.y + (values.z + values.w);
#else
  return values;
#end
}

fn largest_of(values: Floats) -> f32 {
#if WIDTH == 4
  return max(max(values.x, values.y), max(values.z, values.w));
#else
  return values;
#end
}
