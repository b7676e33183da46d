// The activations of CLIP (x * sigmoid(1.702 x)) and of the decoders (exact, by the error function). The including file
// says what they take: Floats is f32 or a vector of it, Words the u32 of as many.

fn quick_gelu(x: Floats) -> Floats {
  return x / (1.0 + exp(-1.702 * x));
}

// Complementary error function by a Chebyshev fit in 1 / (1 + |x| / 2): relative error under 1.2e-7 everywhere,
// which keeps the far negative side of GELU accurate where 1 + erf(x) would cancel.
fn erfc(x: Floats) -> Floats {
  let z = abs(x);
  let t = 1.0 / (1.0 + 0.5 * z);
  var p = Floats(0.17087277);
  p = p * t - 0.82215223;
  p = p * t + 1.48851587;
  p = p * t - 1.13520398;
  p = p * t + 0.27886807;
  p = p * t - 0.18628806;
  p = p * t + 0.09678418;
  p = p * t + 0.37409196;
  p = p * t + 1.00002368;
  p = p * t - 1.26551223;
  let tail = t * exp(p - z * z);
  return select(tail, 2.0 - tail, x < Floats());
}

// Drivers make tanh from exponentials, which cancel near 0, where a polynomial is right to the last digits, and overflow
// far from it, where tanh is 1 in f32 long before 15. The clamp would drop a
// NaN, and compilers drop x != x.
fn hyperbolic_tangent(x: Floats) -> Floats {
  let z = x * x;
  let near = x + x * z * (-0.33333333 + z * (0.13333333 + z * (-0.053968254 + z * 0.021869488)));
  let far = tanh(clamp(x, Floats(-15.0), Floats(15.0)));
  let is_nan = (bitcast<Words>(x) & Words(0x7fffffffu)) > Words(0x7f800000u);
  return select(select(far, near, z < Floats(0.0625)), x, is_nan);
}

fn gelu(x: Floats) -> Floats {
  return 0.5 * x * erfc(-0.70710678 * x);
}
