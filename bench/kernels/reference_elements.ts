/** What work on elements must give. */
import { quantizedBlock, randomWord } from '../../kernels/index.js';
import { erfc } from './error_function.js';
import { type Sample, spread } from './samples.js';
import {
  adamwSettings,
  dropoutProbability,
  dropoutStream,
  gradientNormSettings,
  lerpWeight,
  momentumFactor,
} from './settings.js';
import type { OperandValues } from './values.js';
import { type ElementWork, quantizedWords } from './work.js';

export const activations = {
  none: (x: number): number => x,
  gelu: (x: number): number => 0.5 * x * erfc(-x / Math.SQRT2),
  quick_gelu: (x: number): number => x / (1 + Math.exp(-1.702 * x)),
} as const;

const slopes = {
  gelu: (x: number): number =>
    0.5 * erfc(-x / Math.SQRT2) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI),
  quick_gelu: (x: number): number => {
    const sigmoid = 1 / (1 + Math.exp(-1.702 * x));
    return sigmoid * (1 + 1.702 * x * (1 - sigmoid));
  },
} as const;

export function elementSamples({ kernel, count }: ElementWork, values: OperandValues): Sample[] {
  const { x, y, gradient, buffer, average, value, squares } = values;
  const samplesOf = (valueOf: (i: number) => number, output = 'result'): Sample[] =>
    spread(count, 256).map((index) => ({ output, index, expected: valueOf(index) }));
  switch (kernel) {
    case 'fill':
      return samplesOf(() => 0);
    case 'square_sum': {
      const expected = (x as Float32Array).reduce((sum, own) => sum + own * own, 0);
      return [{ output: 'result', index: 0, expected }];
    }
    case 'gradient_norm': {
      const { maxNorm, unscale } = gradientNormSettings;
      const norm = unscale * Math.sqrt((squares as Float32Array).reduce((sum, own) => sum + own, 0));
      return [norm, unscale * Math.min(1, maxNorm / (norm + 1e-6))].map((expected, index) => ({
        output: 'result',
        index,
        expected,
      }));
    }
    case 'quantize':
      return spread(quantizedWords * (count / quantizedBlock), 256).map((index) => ({
        output: 'result',
        index,
        expected: quantizedWord(x!, index),
        // Of a scale, in its last digits.
        within: index % quantizedWords === 0 ? 4 : 0,
      }));
    case 'momentum': {
      const moved = (i: number): number => momentumFactor * buffer![i]! + gradient![i]!;
      return [...samplesOf(moved, 'buffer'), ...samplesOf((i) => gradient![i]! + momentumFactor * moved(i))];
    }
    case 'lerp':
      return samplesOf((i) => average![i]! + lerpWeight * (value![i]! - average![i]!), 'average');
    case 'copy':
    case 'cast':
      return samplesOf((i) => x![i]!);
    case 'add':
      return samplesOf((i) => x![i]! + y![i]!);
    case 'dropout':
      return samplesOf((i) => x![i]! / (1 - dropoutProbability)).map((sample) => {
        const kept = randomWord(dropoutStream, sample.index) >>> 1 >= dropoutProbability * 2 ** 31;
        return kept ? { ...sample, otherwise: 0 } : { ...sample, expected: 0, otherwise: sample.expected };
      });
    case 'gelu':
    case 'quick_gelu':
      return samplesOf((i) => activations[kernel](x![i]!));
    case 'gelu_gradient':
      return samplesOf((i) => slopes.gelu(x![i]!) * gradient![i]!);
    case 'quick_gelu_gradient':
      return samplesOf((i) => slopes.quick_gelu(x![i]!) * gradient![i]!);
    case 'adamw':
      return (['parameter', 'firstMoment', 'secondMoment'] as const).flatMap((output) =>
        samplesOf((i) => adamwStep(i, values)[output], output),
      );
  }
}

function adamwStep(
  i: number,
  { parameter, gradient, firstMoment, secondMoment }: OperandValues,
): { parameter: number; firstMoment: number; secondMoment: number } {
  const { learningRate, betas, epsilon, weightDecay, step } = adamwSettings;
  const first = betas[0] * firstMoment![i]! + (1 - betas[0]) * gradient![i]!;
  const second = betas[1] * secondMoment![i]! + (1 - betas[1]) * gradient![i]! ** 2;
  const [m, v] = [first / (1 - betas[0] ** step), second / (1 - betas[1] ** step)];
  const decayed = parameter![i]! * (1 - learningRate * weightDecay);
  return {
    parameter: decayed - (learningRate * m) / (Math.sqrt(v) + epsilon),
    firstMoment: first,
    secondMoment: second,
  };
}

/** A word of blocks that lose nothing: their scale, then four numbers of a byte a word. */
function quantizedWord(x: ArrayLike<number>, index: number): number {
  const [block, word] = [Math.floor(index / quantizedWords), index % quantizedWords];
  const first = block * quantizedBlock;
  if (word === 0) return new Uint32Array(Float32Array.of(x[first]! / 127).buffer)[0]!;
  const bytes = Int8Array.from({ length: 4 }, (_, i) =>
    Math.round((127 * x[first + 4 * (word - 1) + i]!) / x[first]!),
  );
  return new Uint32Array(bytes.buffer)[0]!;
}
