import {
  type AdapterTraits,
  type Cost,
  type Launch,
  type Operand,
  elementCount,
  f32,
  operandBytes,
  storageFeatures,
  u32,
} from './kernel.js';

export type Activation = 'none' | 'gelu' | 'quick_gelu';

/** `result = activation(scale * left right + bias) + residual`; every operand but the bias has two batch dimensions. */
export interface MatmulProblem {
  /** `[outer, inner, rows, depth]`, any strides. */
  readonly left: Operand;
  /** `[outer, inner, depth, columns]`, any strides: a transposed operand is one with swapped strides. */
  readonly right: Operand;
  /** `[columns]`, contiguous. */
  readonly bias?: Operand | undefined;
  /** `[outer, inner, rows, columns]`, columns contiguous. */
  readonly residual?: Operand | undefined;
  readonly activation: Activation;
  readonly scale: number;
  /** `[outer, inner, rows, columns]`, columns contiguous. */
  readonly result: Operand;
}

/** A way to multiply matrices. */
export interface MatmulVariant {
  readonly name: string;
  canApply(problem: MatmulProblem, traits: AdapterTraits): boolean;
  launch(problem: MatmulProblem, traits: AdapterTraits): Launch;
}

/** What every variant passes to its shader: `tile` is rows and columns a workgroup. */
export function matmulLaunch(
  kernel: string,
  problem: MatmulProblem,
  tile: readonly [number, number],
  defines: Launch['defines'],
  subgroup: boolean,
): Launch {
  const { left, right, bias, residual, result } = problem;
  const [outer, inner, rows, depth] = left.shape as [number, number, number, number];
  const columns = right.shape[3]!;
  const inputs = [left, right, ...(bias ? [bias] : []), ...(residual ? [residual] : [])];
  return {
    kernel,
    file: `${kernel}.wgsl`,
    defines: {
      LEFT: left.dtype,
      RIGHT: right.dtype,
      BIAS: bias !== undefined,
      BIAS_TYPE: bias?.dtype ?? 'f32',
      RESIDUAL: residual !== undefined,
      RESIDUAL_TYPE: residual?.dtype ?? 'f32',
      ACTIVATION: problem.activation,
      RESULT: result.dtype,
      ...defines,
    },
    features: [...storageFeatures([...inputs, result]), ...(subgroup ? (['subgroups'] as const) : [])],
    access: [...inputs.map(() => 'read' as const), 'write'],
    params: {
      rows: u32(rows),
      columns: u32(columns),
      depth: u32(depth),
      innerBatch: u32(inner),
      scale: f32(problem.scale),
      ...batchParameters('left', left),
      leftRowStride: u32(left.strides[2]!),
      leftDepthStride: u32(left.strides[3]!),
      ...batchParameters('right', right),
      rightDepthStride: u32(right.strides[2]!),
      rightColumnStride: u32(right.strides[3]!),
      biasOffset: u32(bias?.offset ?? 0),
      ...batchParameters('residual', residual),
      residualRowStride: u32(residual?.strides[2] ?? 0),
      ...batchParameters('result', result),
      resultRowStride: u32(result.strides[2]!),
    },
    workgroups: [Math.ceil(rows / tile[0]), Math.ceil(columns / tile[1]), outer * inner],
  };
}

function batchParameters(name: string, operand: Operand | undefined): Launch['params'] {
  return {
    [`${name}Offset`]: u32(operand?.offset ?? 0),
    [`${name}OuterStride`]: u32(operand?.strides[0] ?? 0),
    [`${name}InnerStride`]: u32(operand?.strides[1] ?? 0),
  };
}

const matmulPlain: MatmulVariant = {
  name: 'matmul_plain',
  canApply: () => true,
  launch(problem) {
    return matmulLaunch(this.name, problem, [32, 32], {}, false);
  },
};

/** The ways to multiply, in the order in which they are tried. */
export const matmulVariants: readonly MatmulVariant[] = [matmulPlain];

export function matmulCost(problem: MatmulProblem): Cost {
  const depth = problem.left.shape[3]!;
  const operands = [problem.left, problem.right, problem.result, problem.bias, problem.residual];
  return {
    flops: 2 * elementCount(problem.result.shape) * depth,
    bytes: operands.reduce((bytes, operand) => bytes + (operand ? operandBytes(operand) : 0), 0),
  };
}
