/** Numbers that work needs beside its operands. */

export const layerNormEpsilon = 1e-5;

/** As Muon takes it. */
export const momentumFactor = 0.95;

/** Part that a value has in a moving average. */
export const lerpWeight = 0.125;

/** What ends a text. */
export const endId = 1;

/** As the original trains in f32. */
export const gradientNormSettings = { maxNorm: 20, unscale: 1 } as const;

/** As the original trains; of our own random numbers a stream of some seed. */
export const dropoutProbability = 0.1;
export const dropoutStream = { seed: [3, 5], offset: 7 } as const;

/** As the original trains, at some step. */
export const adamwSettings = {
  learningRate: 1e-3,
  betas: [0.9, 0.98],
  epsilon: 1e-6,
  weightDecay: 0.2,
  step: 9,
} as const;
