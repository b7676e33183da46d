import { dimensionParameters, foldDimensions } from './dimensions.js';
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

const workgroupSize = 64;

/** WGSL of the element-wise functions of one operand, in f32. `copy` converts between any types. */
export const unaryExpressions = {
  copy: 'x',
  negate: '-x',
  scale: 'x * params.factor',
  exp: 'exp(x)',
  log: 'log(x)',
  sqrt: 'sqrt(x)',
  reciprocal: '1.0 / x',
  relu: 'max(x, 0.0)',
  sigmoid: '1.0 / (1.0 + exp(-x))',
  // tanh overflows in some drivers' exp; it is 1 in f32 long before 15.
  tanh: 'tanh(clamp(x, -15.0, 15.0))',
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

export type UnaryFunction = keyof typeof unaryExpressions;
export type BinaryFunction = keyof typeof binaryExpressions;

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
  const count = elementCount(result.shape);
  const folded = foldDimensions(result.shape, [x.strides, y.strides, result.strides]);
  return {
    kernel,
    file: 'elementwise.wgsl',
    defines: {
      X: x.dtype,
      Y: y.dtype,
      RESULT: result.dtype,
      COMPUTE: compute,
      INPUTS: inputs.length,
      RANK: folded.sizes.length,
      EXPRESSION: expression,
      WORKGROUP: workgroupSize,
    },
    features: storageFeatures([...inputs, result]),
    access: [...inputs.map(() => 'read' as const), 'write'],
    params: {
      count: u32(count),
      xOffset: u32(x.offset),
      yOffset: u32(y.offset),
      resultOffset: u32(result.offset),
      ...extra,
      ...dimensionParameters(folded, ['x', 'y', 'result']),
    },
    workgroups: spreadWorkgroups(Math.ceil(count / workgroupSize), traits),
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
