// Derivatives of the activations, times the gradient that arrives. Written with exp(-|x|), which cannot overflow, and
// without the differences 1 - sigmoid(x) and 1 - tanh(x)^2, which lose all digits where the function is near 1.

fn sigmoid_gradient(x: Floats, gradient: Floats) -> Floats {
  let small = exp(-abs(x));
  let sum = 1.0 + small;
  return gradient * (small / (sum * sum));
}

// tanh(x) = 2 sigmoid(2 x) - 1.
fn tanh_gradient(x: Floats, gradient: Floats) -> Floats {
  return 4.0 * sigmoid_gradient(2.0 * x, gradient);
}

// With z = 1.702 x: sigmoid(z) (1 + z sigmoid(-z)). Beyond |z| = 100 it is 0 or 1 in f32.
fn quick_gelu_gradient(x: Floats, gradient: Floats) -> Floats {
  let z = clamp(1.702 * x, Floats(-100.0), Floats(100.0));
  let small = exp(-abs(z));
  let larger = 1.0 / (1.0 + small);
  let smaller = small * larger;
  let sigmoid = select(smaller, larger, z >= Floats());
  let opposite = select(larger, smaller, z >= Floats());
  return gradient * (sigmoid * (1.0 + z * opposite));
}

// Normal distribution function + x * normal density. Beyond |x| = 20 it is 0 or 1 in f32.
fn gelu_gradient(x: Floats, gradient: Floats) -> Floats {
  let near = clamp(x, Floats(-20.0), Floats(20.0));
  let density = 0.39894228 * exp(-0.5 * near * near);
  return gradient * (0.5 * erfc(-0.70710678 * near) + near * density);
}
