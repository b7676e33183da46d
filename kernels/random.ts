/** Kernels that draw random numbers. */
import { type AdapterTraits, type Launch, type Operand, type Parameter, f32, u32 } from './kernel.js';
import { type RandomStream, streamWords } from './philox.js';
import { launchStreams } from './stream.js';

function streamParameters(stream: RandomStream): Record<string, Parameter> {
  const [low, high] = streamWords(stream);
  return {
    seedLow: u32(stream.seed[0]),
    seedHigh: u32(stream.seed[1]),
    streamLow: u32(low),
    streamHigh: u32(high),
  };
}

export interface DropoutProblem {
  /** f32 or f16, dense. */
  readonly x: Operand;
  /** Part of the elements that become 0, from 0 to 1. */
  readonly probability: number;
  readonly stream: RandomStream;
  /** The stream's word for the first element, for a part of a larger tensor: its position there. */
  readonly first: number;
  /** As many elements as `x`, dense. */
  readonly result: Operand;
}

/**
 * `result = x / (1 - probability)` where the stream keeps an element, else 0; the same launch over a gradient is the
 * backward. The probability is rounded to a multiple of 2^-31. Operands: x, result.
 * @throws RangeError for a probability outside of 0 to 1
 */
export function launchDropout(problem: DropoutProblem, traits: AdapterTraits): Launch {
  const { x, probability, first, result } = problem;
  if (!(probability >= 0 && probability <= 1)) {
    throw new RangeError(`dropout: the probability is ${probability}; expected a number from 0 to 1`);
  }
  const vectors = first % 4 === 0;
  const launch = launchStreams(
    {
      kernel: 'dropout',
      file: 'dropout.wgsl',
      sets: [{ x, result }],
      access: { x: 'read', result: 'write' },
      vectors,
      params: {
        ...streamParameters(problem.stream),
        first: u32(first),
        threshold: u32(Math.round(probability * 2 ** 31)),
        scale: f32(probability === 1 ? 0 : 1 / (1 - probability)),
      },
    },
    traits,
  );
  return {
    ...launch,
    defines: { ...launch.defines, WORDS: launch.defines.WIDTH === 4 ? 'vec4<u32>' : 'u32' },
  };
}
