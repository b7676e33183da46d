/** What some of the results of work must be, in double precision, from the definitions. */
import { activations, elementSamples } from './reference_elements.js';
import { type Sample, spread } from './samples.js';
import { endId, layerNormEpsilon } from './settings.js';
import type { OperandValues } from './values.js';
import type { AttentionWork, EmbeddingWork, MatmulWork, RowWork, Work } from './work.js';

/** Samples of every output: its ends, and some between, so that edges of tiles are among them. */
export function referenceSamples(work: Work, values: OperandValues): Sample[] {
  if (work.kernel === 'matmul') return matmulSamples(work, values);
  if ('heads' in work) return attentionSamples(work, values);
  if ('tableRows' in work) return embeddingSamples(work, values);
  return 'count' in work ? elementSamples(work, values) : rowSamples(work, values);
}

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

function rowSamples({ kernel, rows, width, sums = 1 }: RowWork, values: OperandValues): Sample[] {
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
    case 'end_padding':
      return alongRows((row) => {
        const text = values['texts']!.subarray(row * width, (row + 1) * width);
        const end = text.indexOf(endId);
        return Uint32Array.from(text, (_, i) => Number(end !== -1 && i >= end));
      });
    case 'argmax':
      return oneEach((row) => slice('x', row).reduce((best, x, i, all) => (x > all[best]! ? i : best), 0));
    case 'mean':
      return oneEach((row) => slice('x', row).reduce((sum, value) => sum + value, 0) / width);
    case 'column_sum':
      return spread(width * sums, 16).map((index) => {
        const [first, column] = [Math.floor(index / width) * rows, index % width];
        let expected = 0;
        for (let row = 0; row < rows; row++) expected += values['x']![(first + row) * width + column]!;
        return { output: 'result', index, expected };
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
