import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import {
  type AdapterTraits,
  type AttentionBackwardProblem,
  type AttentionProblem,
  type Dtype,
  type Launch,
  type Operand,
  type UnaryFunction,
  type UnaryGradient,
  attentionBackwardSteps,
  attentionBackwardFamily,
  attentionFamily,
  launchArgmax,
  launchBinary,
  launchColumnSum,
  launchCrossEntropy,
  launchCrossEntropyGradient,
  launchEmbedding,
  launchEndPadding,
  launchGather,
  launchLayerNorm,
  launchQuantize,
  launchLayerNormGradient,
  launchLayerNormWeightGradient,
  launchMultiplyAdd,
  launchReduce,
  launchSoftmax,
  launchSoftmaxGradient,
  launchUnary,
  launchUnaryGradient,
  matmulFamily,
  multiplyAddWorkgroup,
  programSource,
  unaryGradients,
} from '../kernels/index.js';
import { type Defines } from '../kernels/kernel.js';
import { evaluate, expandTemplate } from '../kernels/template.js';
import { useDevice } from './support/device.js';
import { trainingLaunches } from './support/training_launches.js';

const expand = (text: string, defines: Defines = {}, files: Record<string, string> = {}): string[] =>
  expandTemplate('main.wgsl', defines, (file) => ({ 'main.wgsl': text, ...files })[file]!)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

describe('expressions', () => {
  const names = new Map<string, string | number | boolean>([
    ['N', 7],
    ['ON', true],
    ['KIND', 'max'],
  ]);
  test.each<[string, string | number | boolean]>([
    ['1 + 2 * 3', 7],
    ['(1 + 2) * 3', 9],
    ['N / 2', 3],
    ['N % 4 - -1', 4],
    ['10 - 3 - 2', 5],
    ['N >= 7 && !ON || N < 3', false],
    ["KIND == 'max'", true],
    ["KIND != 'max'", false],
    ['ON == true', true],
    ['4 + ON', 5],
    ['  N  ', 7],
  ])('%s', (text, value) => expect(evaluate(text, names)).toBe(value));

  test.each<[string, RegExp]>([
    ['M + 1', /unknown name "M"/],
    ['1 +', /ends too early/],
    ['(1', /lacks a "\)"/],
    ['1 2', /text after its end/],
    ['1 ^ 2', /cannot read "\^ 2"|cannot read " \^ 2"/],
    ['', /ends too early/],
    ["'max' + 1", /cannot compute max \+ 1/],
    ['1 / 0', /has no value/],
  ])('%s is an error', (text, message) => expect(() => evaluate(text, names)).toThrow(message));
});

describe('directives', () => {
  test('replace names and expressions', () => {
    expect(expand('let $A = ${A}x${N * 2};', { A: 'f32', N: 3 })).toEqual(['let f32 = f32x6;']);
  });

  test.each([
    [1, 'one'],
    [2, 'two'],
    [3, 'other'],
  ])('#if, #elif and #else take one branch (%i)', (N, branch) => {
    expect(
      expand('#if N == 1\none\n#elif N == 2\ntwo\n#elif N == 2\nagain\n#else\nother\n#end', { N }),
    ).toEqual([branch]);
  });

  test('branches not taken are neither expanded nor evaluated', () => {
    expect(expand('#if A\n$A\n#elif missing\n$missing\n#end', { A: true })).toEqual(['true']);
    expect(expand('#if A\n$missing\n#include "none"\n#end\nend', { A: false })).toEqual(['end']);
  });

  test('#for repeats, nested in loops and branches', () => {
    const text = '#for i in 0..N\n#if i == 1\n#for j in i..3\n$i$j\n#end\n#else\n[$i]\n#end\n#end';
    expect(expand(text, { N: 3 })).toEqual(['[0]', '11', '12', '[2]']);
    expect(expand('#for i in 2..2\nnone\n#end', {})).toEqual([]);
  });

  test('#include expands with the names in force', () => {
    const files = { part: '#include "inner"\n$A', inner: 'let inner_$A = ${A + 1};' };
    expect(expand('#include "part"\nend', { A: 5 }, files)).toEqual(['let inner_5 = 6;', '5', 'end']);
    expect(expand('#for i in 0..2\n#include "part"\n#end', { A: 5 }, { part: 'x$i$A' })).toEqual([
      'x05',
      'x15',
    ]);
  });

  test.each<[string, RegExp]>([
    ['a\n#if true\nb', /main\.wgsl: "#if true" is never closed/],
    ['#for i in 0..2\n#if i\n#end', /main\.wgsl: "#for i in 0\.\.2" is never closed/],
    ['#if false\n#else\n#for i in 0..1', /never closed/],
    ['#end', /main\.wgsl: unknown directive #end/],
    ['#else', /unknown directive #else/],
    ['#define A', /unknown directive #define/],
    ['#for i of 0..2\n#end', /#for needs "NAME in A\.\.B"/],
    ['let x = $missing;', /main\.wgsl: unknown name "missing".*let x = \$missing/],
    ['#if missing\n#end', /unknown name "missing"/],
    ['#if false\n#elif missing\n#end', /unknown name "missing"/],
    ['#include "part"', /part: unknown name "gone"/],
  ])('%j is an error', (text, message) => {
    expect(() => expand(text, {}, { part: '$gone' })).toThrow(message);
  });
});

describe('every kernel', () => {
  const device = useDevice({ device: 'software' });
  const floats = ['f32', 'f16'] as const;
  const operand = (dtype: Dtype, ...shape: number[]): Operand => ({
    dtype,
    shape,
    strides: shape.map((_, d) => shape.slice(d + 1).reduce((product, size) => product * size, 1)),
    offset: 0,
  });
  const pairs = floats.flatMap((a) => floats.map((b) => [a, b] as const));

  /** Every launch that differs in its source, for one adapter. */
  function* launches(traits: AdapterTraits): Generator<Launch> {
    const unary: UnaryFunction[] = ['copy', 'negate', 'exp', 'log', 'sqrt', 'reciprocal', 'relu', 'sigmoid'];
    for (const name of [...unary, 'tanh', 'gelu', 'quickGelu'] as UnaryFunction[]) {
      for (const [a, b] of pairs) yield launchUnary(name, operand(a, 3, 4), operand(b, 3, 4), traits);
    }
    for (const from of ['f32', 'f16', 'i32', 'u32'] as const) {
      for (const to of ['i32', 'u32', 'f32'] as const) {
        yield launchUnary('copy', operand(from, 4), { ...operand(to, 4), strides: [2] }, traits);
      }
    }
    for (const name of ['add', 'subtract', 'multiply', 'divide'] as const) {
      for (const dtype of ['f32', 'f16', 'i32', 'u32'] as const) {
        yield launchBinary(name, operand(dtype, 3, 4), operand(dtype, 3, 4), operand(dtype, 3, 4), traits);
      }
      yield launchBinary(name, operand('f32', 4), operand('f16', 4), operand('f32', 4), traits);
    }
    for (const [a, b] of pairs) {
      for (const logarithm of [false, true])
        yield launchSoftmax(logarithm, operand(a, 3, 4), operand(b, 3, 4), traits);
      for (const kind of ['sum', 'max'] as const) {
        yield launchReduce(kind, 1, operand(a, 3, 4), operand(b, 3), traits);
      }
      yield launchLayerNorm(operand(a, 3, 4), operand(b, 4), operand(a, 4), 1e-5, operand(b, 3, 4), traits);
      for (const positions of [undefined, operand(b, 5, 4)]) {
        yield launchEmbedding(
          {
            table: operand(a, 9, 4),
            windowStart: 0,
            tableRows: 9,
            ids: operand('u32', 2, 5),
            positions,
            scale: 1,
            result: operand('f32', 2, 5, 4),
          },
          traits,
        );
      }
    }
    for (const dtype of ['f32', 'f16', 'u32'] as const) {
      const gathered = { x: operand(dtype, 2, 3, 4), windowStart: 0, axis: 3, index: operand('u32', 2, 1) };
      yield launchGather({ ...gathered, result: operand(dtype, 2, 1, 4) }, traits);
      yield launchArgmax(operand(dtype, 3, 4), operand('u32', 3), traits);
    }
    for (const dtype of floats) yield launchQuantize(operand(dtype, 2, 64), operand('q8', 2, 64), traits);
    yield launchEndPadding(0, operand('u32', 2, 5), operand('u32', 2, 5), traits);
    const lanes = operand('f32', 2 * multiplyAddWorkgroup(traits));
    yield launchMultiplyAdd({ result: lanes, rounds: 1, factor: 0.5, term: 1 }, traits);
    yield* attentions(traits);
    yield* attentionGradients(traits);
    yield* products(traits);
    yield* rowGradients(traits);
    yield* trainingLaunches(operand, traits);
  }

  function* rowGradients(traits: AdapterTraits): Generator<Launch> {
    for (const [a, b] of pairs) {
      const [x, gradient, result] = [operand(a, 3, 4), operand(b, 3, 4), operand(b, 3, 4)];
      for (const name of Object.keys(unaryGradients) as UnaryGradient[]) {
        yield launchUnaryGradient(name, x, gradient, result, traits);
      }
      for (const logarithm of [false, true]) {
        yield launchSoftmaxGradient(logarithm, x, gradient, result, traits);
      }
      const statistics = operand('f32', 3, 2);
      yield launchLayerNormGradient(
        { x, gradient, weight: operand(a, 4), epsilon: 1e-5, result, statistics },
        traits,
      );
      const sums = { weight: operand('f32', 2, 4), bias: operand('f32', 2, 4) };
      yield launchLayerNormWeightGradient({ x, gradient, statistics }, sums, traits);
      yield launchColumnSum(1, x, operand(b, 4), traits);
      const problem = { logits: x, targets: operand('u32', 3), ignoredTarget: 4 };
      yield launchCrossEntropy(problem, operand('f32', 3), traits);
      yield launchCrossEntropyGradient(problem, operand('f32', 3), result, traits);
    }
  }

  function* attentions(traits: AdapterTraits): Generator<Launch> {
    for (const width of [1, 7, 24, 64, 128]) {
      for (const [own, other] of pairs) {
        for (let bits = 0; bits < 8; bits++) {
          if (bits > 0 && width !== 24) continue;
          const rows = (dtype: Dtype): Operand => operand(dtype, 2, 3, 9, width);
          const problem: AttentionProblem = {
            query: rows(own),
            key: rows(other),
            value: rows(other),
            mask: bits & 1 ? operand(other, 2, 3, 9, 9) : undefined,
            padding: bits & 2 ? operand('u32', 2, 9) : undefined,
            causal: (bits & 4) !== 0,
            scale: 1,
            result: rows(own),
          };
          for (const variant of attentionFamily.variants) {
            if (variant.canApply(problem, traits)) yield variant.launch(problem, traits);
          }
        }
      }
    }
  }

  function* attentionGradients(traits: AdapterTraits): Generator<Launch> {
    for (const width of [1, 24, 64, 128]) {
      for (const [own, other] of pairs) {
        for (let bits = 0; bits < 8; bits++) {
          if (bits > 0 && width !== 24) continue;
          const rows = (dtype: Dtype): Operand => operand(dtype, 2, 3, 9, width);
          const problem: AttentionBackwardProblem = {
            query: rows(own),
            key: rows(other),
            value: rows(other),
            mask: bits & 1 ? operand(other, 2, 3, 9, 9) : undefined,
            padding: bits & 2 ? operand('u32', 2, 9) : undefined,
            causal: (bits & 4) !== 0,
            scale: 1,
            output: rows(own),
            outputGradient: rows(other),
            statistics: operand('f32', 2, 3, 9, 2),
            queryGradient: rows(other),
            keyValueGradient: operand(own, 2, 2, 3, 9, width),
          };
          for (const variant of attentionBackwardFamily.variants) {
            if (!variant.canApply(problem, traits)) continue;
            for (const { name } of attentionBackwardSteps) yield variant.launch(name, problem, traits);
          }
        }
      }
    }
  }

  function* products(traits: AdapterTraits): Generator<Launch> {
    for (const [a, b] of pairs) {
      for (const activation of ['none', 'gelu', 'quick_gelu'] as const) {
        for (const extras of [false, true]) {
          for (const rows of [1, 64]) {
            const problem = {
              left: operand(a, 1, 1, rows, 64),
              right: operand(b, 1, 1, 64, 64),
              bias: extras ? operand(b, 64) : undefined,
              residual: extras ? operand(a, 1, 1, rows, 64) : undefined,
              activation,
              scale: 1,
              result: operand(a, 1, 1, rows, 64),
            };
            const right: Operand = { ...problem.right, dtype: 'q8', strides: [4096, 4096, 1, 64] };
            for (const variant of matmulFamily.variants) {
              if (!variant.canApply(problem, traits)) continue;
              yield variant.launch(problem, traits);
              yield variant.launch({ ...problem, right }, traits);
            }
          }
        }
      }
    }
  }

  const adapters: [string, Partial<AdapterTraits>][] = [
    ['the software adapter', {}],
    ['a GPU with subgroups of 32', { software: false, subgroupSize: 32 }],
    ['a GPU without subgroups', { software: false, subgroupSize: 0 }],
  ];

  test.each(adapters)('is valid WGSL in every element type on %s', async (_, own) => {
    const traits = { ...device().traits, ...own };
    const sources = new Map<string, string>();
    for (const launch of launches(traits)) sources.set(programSource(launch), launch.kernel);
    expect(sources.size).toBeGreaterThan(100);
    const messages: string[] = [];
    for (const [code, kernel] of sources) {
      device().gpu.pushErrorScope('validation');
      const module = device().gpu.createShaderModule({ label: kernel, code });
      const [information, error] = await Promise.all([
        module.getCompilationInfo(),
        device().gpu.popErrorScope(),
      ]);
      for (const { type, message } of information.messages) {
        if (type !== 'info') messages.push(`${kernel}: ${message}`);
      }
      if (error) messages.push(`${kernel}: ${error.message}`);
    }
    expect(messages).toEqual([]);
  });

  test('file of the folder is used by some launch', () => {
    const used = new Set<string>();
    for (const [, own] of adapters) {
      for (const launch of launches({ ...device().traits, ...own })) {
        used.add(launch.file);
      }
    }
    const folder = new URL('../kernels/', import.meta.url);
    // Kernels on rows share their entry point; units for matrices are no adapter's of these (matmul.test.ts,
    // attention_matrix.test.ts, attention_backward_matrix.test.ts).
    const matrices = ['matmul', 'attention', 'attention_statistics', 'attention_backward'];
    const others = ['row_walk.wgsl', ...matrices.map((kernel) => `${kernel}_matrix.wgsl`)];
    const entryPoints = readdirSync(folder)
      .filter((file) => file.endsWith('.wgsl') && !others.includes(file))
      .filter((file) => /@compute|fn work_on_row/.test(readFileSync(new URL(file, folder), 'utf8')));
    expect([...used].sort()).toEqual(entryPoints.sort());
  });
});
