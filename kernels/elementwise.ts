import { type FoldedDimensions, dimensionParameters, foldDimensions } from './dimensions.js';
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  type Parameter,
  elementCount,
  f32,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';
import { streamSpan, vectorType } from './stream.js';

/** WGSL of the element-wise functions of one operand, in floats. `copy` converts between any types. */
export const unaryExpressions = {
  copy: 'x',
  negate: '-x',
  scale: 'x * params.factor',
  exp: 'exp(x)',
  log: 'log(x)',
  sqrt: 'sqrt(x)',
  reciprocal: '1.0 / x',
  relu: 'max(x, Floats())',
  sigmoid: '1.0 / (1.0 + exp(-x))',
  tanh: 'hyperbolic_tangent(x)',
  gelu: 'gelu(x)',
  quickGelu: 'quick_gelu(x)',
} as const;

/** WGSL of the element-wise functions of two operands. */
export const binaryExpressions = {
  add: 'x + y',
  subtract: 'x - y',
  multiply: 'x * y',
  divide: 'x / y',
} as const;

/**
 * Gradients of the functions of one operand: whether they are read from the operand or from the function's output, and
 * WGSL in that (`x`) and the gradient that arrives (`y`). From the output where that is cheaper and loses no digits;
 * it leaves the operand free to be disposed. Of `copy` the gradient is a copy, of `negate` a negation: neither needs
 * operand or output.
 */
export const unaryGradients = {
  exp: { from: 'output', expression: 'y * x' },
  log: { from: 'x', expression: 'y / x' },
  sqrt: { from: 'output', expression: '0.5 * y / x' },
  reciprocal: { from: 'output', expression: '-y * x * x' },
  // As PyTorch, a NaN lets the gradient through.
  relu: { from: 'output', expression: 'select(y, Floats(), x <= Floats())' },
  sigmoid: { from: 'x', expression: 'sigmoid_gradient(x, y)' },
  tanh: { from: 'x', expression: 'tanh_gradient(x, y)' },
  gelu: { from: 'x', expression: 'gelu_gradient(x, y)' },
  quickGelu: { from: 'x', expression: 'quick_gelu_gradient(x, y)' },
} as const satisfies Partial<
  Record<keyof typeof unaryExpressions, { from: 'x' | 'output'; expression: string }>
>;

export type UnaryFunction = keyof typeof unaryExpressions;
/** Functions of one operand whose gradient has a kernel of its own. */
export type UnaryGradient = keyof typeof unaryGradients;
export type BinaryFunction = keyof typeof binaryExpressions;

/** Operands as a kernel goes through them, `width` elements of the last dimension at a time. */
interface Vectors {
  readonly width: 1 | 4;
  readonly folded: FoldedDimensions;
  /** Elements of each operand's own steps: 1 where one value stands for all of the last dimension. */
  readonly widths: readonly (1 | 4)[];
}

/** Takes vectors where every operand's last dimension lies side by side in fours, or is one value repeated. */
function vectorsOf(folded: FoldedDimensions, operands: readonly Operand[]): Vectors {
  const { sizes, strides } = folded;
  const repeats = strides.map((own) => own[0] === 0);
  const fits =
    sizes[0]! % 4 === 0 &&
    !repeats.at(-1) &&
    strides.every(
      (own, o) =>
        repeats[o] ||
        (own[0] === 1 &&
          operands[o]!.offset % 4 === 0 &&
          own.every((stride, d) => d === 0 || stride % 4 === 0)),
    );
  if (!fits) return { width: 1, folded, widths: operands.map(() => 1) };
  const widths = repeats.map((repeated) => (repeated ? 1 : 4));
  return {
    width: 4,
    folded: {
      sizes: sizes.with(0, sizes[0]! / 4),
      strides: strides.map((own, o) => own.map((stride, d) => (d === 0 ? stride : stride / widths[o]!))),
    },
    widths,
  };
}

function launchElementwise(
  kernel: string,
  expression: string,
  compute: string,
  inputs: readonly Operand[],
  result: Operand,
  traits: AdapterTraits,
  extra: Readonly<Record<string, Parameter>> = {},
): Launch {
  const [x, y = x] = inputs as [Operand, Operand?];
  const operands = [x, y, result];
  const { width, folded, widths } = vectorsOf(
    foldDimensions(
      result.shape,
      operands.map(({ strides }) => strides),
    ),
    operands,
  );
  const [xWidth, yWidth] = widths as [1 | 4, 1 | 4, 1 | 4];
  const vectors = elementCount(result.shape) / width;
  const { lanes, span } = streamSpan(vectors, traits);
  return {
    kernel,
    file: 'elementwise.wgsl',
    defines: {
      X: vectorType(x.dtype, xWidth),
      X_AS: vectorType(compute, xWidth),
      Y: vectorType(y.dtype, yWidth),
      Y_AS: vectorType(compute, yWidth),
      RESULT: vectorType(result.dtype, width),
      COMPUTE: vectorType(compute, width),
      FLOATS: vectorType('f32', width),
      WORDS: vectorType('u32', width),
      INPUTS: inputs.length,
      RANK: folded.sizes.length,
      EXPRESSION: expression,
      WORKGROUP: lanes,
    },
    features: storageFeatures([...inputs, result]),
    access: [...inputs.map(() => 'read' as const), 'write'],
    params: {
      vectors: u32(vectors),
      span: u32(span),
      xOffset: u32(x.offset / xWidth),
      yOffset: u32(y.offset / yWidth),
      resultOffset: u32(result.offset / width),
      ...extra,
      ...dimensionParameters(folded, ['x', 'y', 'result']),
    },
    workgroups: spreadWorkgroups(Math.ceil(vectors / span), traits),
  };
}

/** `result = f(x)`; `x` may be broadcast by strides of 0, `result` may be a slice. `factor` is that of `scale`. */
export function launchUnary(
  name: UnaryFunction,
  x: Operand,
  result: Operand,
  traits: AdapterTraits,
  factor = 1,
): Launch {
  if (name === 'copy' && x.dtype === result.dtype && x.dtype !== 'f16') {
    // Bits as they are: one program for all types of 32.
    const [from, to] = [x, result].map((operand): Operand => ({ ...operand, dtype: 'u32' }));
    return launchElementwise(name, unaryExpressions.copy, 'u32', [from!], to!, traits);
  }
  const integers = [x, result].every(({ dtype }) => dtype === 'i32' || dtype === 'u32');
  // Integers keep all of their bits; f32 holds 24 of them.
  const compute = name === 'copy' && integers ? x.dtype : 'f32';
  const extra = name === 'scale' ? { factor: f32(factor) } : {};
  return launchElementwise(name, unaryExpressions[name], compute, [x], result, traits, extra);
}

/** `result = f(x, y)`, operands broadcast by strides of 0. */
export function launchBinary(
  name: BinaryFunction,
  x: Operand,
  y: Operand,
  result: Operand,
  traits: AdapterTraits,
): Launch {
  const compute = result.dtype === 'f16' ? 'f32' : result.dtype;
  return launchElementwise(name, binaryExpressions[name], compute, [x, y], result, traits);
}

/**
 * Gradient of a function of one operand: `result = f'(…) * gradient`. `source` is the function's operand or its output,
 * as `unaryGradients[name].from` says. Operands: source, gradient, result, of one shape; broadcast by strides of 0.
 */
export function launchUnaryGradient(
  name: UnaryGradient,
  source: Operand,
  gradient: Operand,
  result: Operand,
  traits: AdapterTraits,
): Launch {
  const { expression } = unaryGradients[name];
  return launchElementwise(`${name}_gradient`, expression, 'f32', [source, gradient], result, traits);
}
