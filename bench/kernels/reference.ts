/** What some of the results of work must be, in double precision, from the definitions. */
import { randomWord } from '../../kernels/index.js';
import { erfc } from './error_function.js';
import {
  adamwSettings,
  dropoutProbability,
  dropoutStream,
  layerNormEpsilon,
  lerpWeight,
  momentumFactor,
} from './settings.js';
import type { OperandValues } from './values.js';
import type { AttentionWork, ElementWork, EmbeddingWork, MatmulWork, RowWork, Work } from './work.js';

/** One element of an output, counted in its dense row-major order. */
export interface Sample {
  readonly output: string;
  readonly index: number;
  readonly expected: number;
  /** What is as right where random numbers are not our own. */
  readonly otherwise?: number;
}

/** Samples of every output: its ends, and some between, so that edges of tiles are among them. */
export function referenceSamples(work: Work, values: OperandValues): Sample[] {
  if (work.kernel === 'matmul') return matmulSamples(work, values);
  if ('heads' in work) return attentionSamples(work, values);
  if ('tableRows' in work) return embeddingSamples(work, values);
  return 'count' in work ? elementSamples(work, values) : rowSamples(work, values);
}

/** Up to `most` of the whole numbers below `count`, first and last among them. */
function spread(count: number, most: number): number[] {
  if (count <= most) return Array.from({ length: count }, (_, i) => i);
  return Array.from({ length: most }, (_, i) => Math.floor((i * (count - 1)) / (most - 1)));
}

const activations = {
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

function matmulSamples(work: MatmulWork, values: OperandValues): Sample[] {
  const { rows, depth, columns, leftTransposed, rightTransposed } = work;
  const { left, right, bias, residual } = values;
  const [leftRow, leftStep] = leftTransposed ? [1, rows] : [depth, 1];
  const [rightColumn, rightStep] = rightTransposed ? [depth, 1] : [1, columns];
  const samples: Sample[] = [];
  for (const batch of spread(work.batch, 2)) {
    for (const row of spread(rows, 12)) {
      for (const column of spread(columns, 12)) {
        const leftAt = batch * rows * depth + row * leftRow;
        const rightAt = batch * depth * columns + column * rightColumn;
        let sum = bias?.[column] ?? 0;
        for (let d = 0; d < depth; d++)
          sum += left![leftAt + d * leftStep]! * right![rightAt + d * rightStep]!;
        const index = (batch * rows + row) * columns + column;
        const expected = activations[work.activation](sum) + (residual?.[index] ?? 0);
        samples.push({ output: 'result', index, expected });
      }
    }
  }
  return samples;
}

/** The last head alone, whose gradients need all of its queries. */
function attentionSamples(work: AttentionWork, values: OperandValues): Sample[] {
  const { batch, heads, queries, keys, width, causal } = work;
  const head = batch * heads - 1;
  const [queryAt, keyAt] = [head * queries * width, head * keys * width];
  const rowOf = (name: string, at: number, row: number): Float32Array =>
    (values[name] as Float32Array).subarray(at + row * width, at + (row + 1) * width);
  const product = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, d) => sum + x * b[d]!, 0);
  const scale = 1 / Math.sqrt(width);
  const result = new Float64Array(queries * width);
  const gradients = {
    queryGradient: new Float64Array(queries * width),
    keyGradient: new Float64Array(keys * width),
    valueGradient: new Float64Array(keys * width),
  };
  const wantsGradients = work.kernel === 'attention_gradient';
  for (let i = 0; i < queries; i++) {
    const query = rowOf('query', queryAt, i);
    const seen = causal ? Math.min(keys, i + 1) : keys;
    const scores = Array.from({ length: seen }, (_, j) => scale * product(query, rowOf('key', keyAt, j)));
    const highest = scores.reduce((high, score) => Math.max(high, score), -Infinity);
    const exponentials = scores.map((score) => Math.exp(score - highest));
    const total = exponentials.reduce((sum, x) => sum + x, 0);
    const weights = exponentials.map((x) => x / total);
    for (const [j, weight] of weights.entries()) {
      const value = rowOf('value', keyAt, j);
      for (let d = 0; d < width; d++) result[i * width + d]! += weight * value[d]!;
    }
    if (!wantsGradients) continue;
    const upstream = rowOf('outputGradient', queryAt, i);
    const dots = weights.map((_, j) => product(upstream, rowOf('value', keyAt, j)));
    const mean = dots.reduce((sum, dot, j) => sum + weights[j]! * dot, 0);
    for (const [j, weight] of weights.entries()) {
      const bent = scale * weight * (dots[j]! - mean);
      const key = rowOf('key', keyAt, j);
      for (let d = 0; d < width; d++) {
        gradients.queryGradient[i * width + d]! += bent * key[d]!;
        gradients.keyGradient[j * width + d]! += bent * query[d]!;
        gradients.valueGradient[j * width + d]! += weight * upstream[d]!;
      }
    }
  }
  const samplesOf = (output: string, at: number, expected: Float64Array): Sample[] =>
    spread(expected.length, 256).map((i) => ({ output, index: at + i, expected: expected[i]! }));
  if (!wantsGradients) return samplesOf('result', queryAt, result);
  return [
    ...samplesOf('queryGradient', queryAt, gradients.queryGradient),
    ...samplesOf('keyGradient', keyAt, gradients.keyGradient),
    ...samplesOf('valueGradient', keyAt, gradients.valueGradient),
  ];
}

function embeddingSamples(
  { kernel, rows, tableRows, width }: EmbeddingWork,
  values: OperandValues,
): Sample[] {
  const { table, gradient, index } = values;
  if (kernel !== 'embedding_gradient') {
    return spread(rows, 16).flatMap((row) =>
      spread(width, 16).map((column) => ({
        output: 'result',
        index: row * width + column,
        expected: table![index![row]! * width + column]!,
      })),
    );
  }
  return spread(tableRows, 16).flatMap((entry) =>
    spread(width, 16).map((column) => ({
      output: 'result',
      index: entry * width + column,
      expected: (index as Uint32Array).reduce(
        (sum, id, row) => (id === entry ? sum + gradient![row * width + column]! : sum),
        0,
      ),
    })),
  );
}

/** Mean and deviation of a row, as layernorm takes them. */
function moments(row: Float32Array): { mean: number; deviation: number } {
  const mean = row.reduce((sum, x) => sum + x, 0) / row.length;
  const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length;
  return { mean, deviation: Math.sqrt(variance + layerNormEpsilon) };
}

function softmaxOf(row: Float32Array): number[] {
  const highest = row.reduce((high, x) => Math.max(high, x), -Infinity);
  const exponentials = Array.from(row, (x) => Math.exp(x - highest));
  const total = exponentials.reduce((sum, x) => sum + x, 0);
  return exponentials.map((x) => x / total);
}

function rowSamples({ kernel, rows, width }: RowWork, values: OperandValues): Sample[] {
  const slice = (name: string, row: number): Float32Array =>
    (values[name] as Float32Array).subarray(row * width, (row + 1) * width);
  const { weight, bias, targets } = values;
  const alongRows = (valuesOf: (row: number) => ArrayLike<number>): Sample[] =>
    spread(rows, 16).flatMap((row) => {
      const expected = valuesOf(row);
      return spread(width, 16).map((i) => ({
        output: 'result',
        index: row * width + i,
        expected: expected[i]!,
      }));
    });
  const oneEach = (valueOf: (row: number) => number): Sample[] =>
    spread(rows, 64).map((row) => ({ output: 'result', index: row, expected: valueOf(row) }));
  switch (kernel) {
    case 'layernorm':
      return alongRows((row) => {
        const { mean, deviation } = moments(slice('x', row));
        return Array.from(slice('x', row), (x, i) => ((x - mean) / deviation) * weight![i]! + bias![i]!);
      });
    case 'layernorm_gradient':
      return layerNormGradientSamples({ rows, width }, values, slice, alongRows);
    case 'softmax':
      return alongRows((row) => softmaxOf(slice('x', row)));
    case 'softmax_gradient':
      return alongRows((row) => {
        const [output, upstream] = [softmaxOf(slice('x', row)), slice('gradient', row)];
        const mean = output.reduce((sum, x, i) => sum + x * upstream[i]!, 0);
        return output.map((x, i) => x * (upstream[i]! - mean));
      });
    case 'argmax':
      return oneEach((row) => slice('x', row).reduce((best, x, i, all) => (x > all[best]! ? i : best), 0));
    case 'mean':
      return oneEach((row) => slice('x', row).reduce((sum, value) => sum + value, 0) / width);
    case 'column_sum':
      return spread(width, 16).map((column) => {
        let expected = 0;
        for (let row = 0; row < rows; row++) expected += values['x']![row * width + column]!;
        return { output: 'result', index: column, expected };
      });
    case 'cross_entropy':
      return oneEach((row) => -Math.log(softmaxOf(slice('logits', row))[targets![row]!]!));
    case 'cross_entropy_gradient':
      return alongRows((row) =>
        softmaxOf(slice('logits', row)).map((x, i) => x - (i === targets![row] ? 1 : 0)),
      );
  }
}

function layerNormGradientSamples(
  { rows, width }: { rows: number; width: number },
  { weight }: OperandValues,
  slice: (name: string, row: number) => Float32Array,
  alongRows: (valuesOf: (row: number) => ArrayLike<number>) => Sample[],
): Sample[] {
  const columns = spread(width, 16);
  const sums = columns.map(() => ({ weight: 0, bias: 0 }));
  for (let row = 0; row < rows; row++) {
    const [x, upstream] = [slice('x', row), slice('gradient', row)];
    const { mean, deviation } = moments(x);
    for (const [i, column] of columns.entries()) {
      sums[i]!.weight += (upstream[column]! * (x[column]! - mean)) / deviation;
      sums[i]!.bias += upstream[column]!;
    }
  }
  const ofX = alongRows((row) => {
    const [x, upstream] = [slice('x', row), slice('gradient', row)];
    const { mean, deviation } = moments(x);
    const normalized = Array.from(x, (value) => (value - mean) / deviation);
    const weighted = Array.from(upstream, (value, i) => value * weight![i]!);
    const first = weighted.reduce((sum, value) => sum + value, 0) / width;
    const second = weighted.reduce((sum, value, i) => sum + value * normalized[i]!, 0) / width;
    return weighted.map((value, i) => (value - first - normalized[i]! * second) / deviation);
  });
  return [
    ...ofX,
    ...columns.map((index, i) => ({ output: 'weightGradient', index, expected: sums[i]!.weight })),
    ...columns.map((index, i) => ({ output: 'biasGradient', index, expected: sums[i]!.bias })),
  ];
}

function elementSamples({ kernel, count }: ElementWork, values: OperandValues): Sample[] {
  const { x, y, gradient, buffer, average, value } = values;
  const samplesOf = (valueOf: (i: number) => number, output = 'result'): Sample[] =>
    spread(count, 256).map((index) => ({ output, index, expected: valueOf(index) }));
  switch (kernel) {
    case 'fill':
      return samplesOf(() => 0);
    case 'square_sum': {
      const expected = (x as Float32Array).reduce((sum, own) => sum + own * own, 0);
      return [{ output: 'result', index: 0, expected }];
    }
    case 'momentum': {
      const moved = (i: number): number => momentumFactor * buffer![i]! + gradient![i]!;
      return [...samplesOf(moved, 'buffer'), ...samplesOf((i) => gradient![i]! + momentumFactor * moved(i))];
    }
    case 'lerp':
      return samplesOf((i) => average![i]! + lerpWeight * (value![i]! - average![i]!), 'average');
    case 'copy':
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
