import {
  type AdapterTraits,
  type Cost,
  type Feature,
  type Launch,
  type Operand,
  elementCount,
  f32,
  operandBytes,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';
import type { Variant } from './variant.js';

/** As shaders number them. */
export const activationNames = ['none', 'gelu', 'quick_gelu'] as const;

export type Activation = (typeof activationNames)[number];

/** `result = activation(scale * left right + bias) + residual`; every operand but the bias has two batch dimensions. */
export interface MatmulProblem {
  /** `[outer, inner, rows, depth]`, any strides. */
  readonly left: Operand;
  /**
   * `[outer, inner, depth, columns]`, any strides: a transposed operand is one with swapped strides. One of type q8 is dense
   * along depth, in whole blocks.
   */
  readonly right: Operand;
  /** `[columns]`, contiguous. */
  readonly bias?: Operand | undefined;
  /** `[outer, inner, rows, columns]`, columns contiguous. */
  readonly residual?: Operand | undefined;
  readonly activation: Activation;
  readonly scale: number;
  /** Whether units for matrices may take a wide right operand too, rounded to f16. Default: only a narrow one. */
  readonly halves?: boolean | undefined;
  /** `[outer, inner, rows, columns]`, columns contiguous. */
  readonly result: Operand;
}

export interface MatmulVariant extends Variant<MatmulProblem> {
  /**
   * Parts into which the depth is cut: the result of its launch is `[1, parts, rows, columns]` f32, the products of the parts, to be
   * added up (`launchColumnSum`). Default: it is the product.
   */
  readonly parts?: (problem: MatmulProblem) => number;
  launch(problem: MatmulProblem, traits: AdapterTraits): Launch;
}

/**
 * What a launch binds, in order. Where there is no bias or residual, the right operand is bound in its place and not read:
 * a program for each way to finish a product would have to be compiled.
 */
export function matmulOperands<T>({
  left,
  right,
  bias = right,
  residual = right,
  result,
}: MatmulOperands<T>): [left: T, right: T, bias: T, residual: T, result: T] {
  return [left, right, bias, residual, result];
}

/** What {@link matmulOperands} put in order, by name again. */
export function matmulOperandsByName(
  bound: readonly Operand[],
  has: { readonly bias?: unknown; readonly residual?: unknown },
): MatmulOperands<Operand> {
  const [left, right, bias, residual, result] = bound as ReturnType<typeof matmulOperands<Operand>>;
  return {
    left,
    right,
    bias: has.bias ? bias : undefined,
    residual: has.residual ? residual : undefined,
    result,
  };
}

interface MatmulOperands<T> {
  readonly left: T;
  readonly right: T;
  readonly bias?: T | undefined;
  readonly residual?: T | undefined;
  readonly result: T;
}

/** What tells a variant's launch from the others'. */
export interface MatmulShape {
  /** Rows and columns of the results of a workgroup. */
  readonly tile: readonly [number, number];
  readonly defines: Launch['defines'];
  /** Beside those of the operands' types. */
  readonly features?: readonly Feature[];
}

/** The launch of a variant; its shader has the name of the kernel. */
export function matmulLaunch(
  kernel: string,
  problem: MatmulProblem,
  { tile, defines, features = [] }: MatmulShape,
  traits: AdapterTraits,
): Launch {
  const { left, right, bias, residual, result } = problem;
  const [outer, inner, rows, depth] = left.shape as [number, number, number, number];
  const columns = right.shape[3]!;
  const rounded = takesMatrixUnits(problem, traits);
  const tiles = Math.ceil(rows / tile[0]) * Math.ceil(columns / tile[1]) * outer * inner;
  return {
    kernel,
    file: `${kernel}.wgsl`,
    defines: {
      LEFT: left.dtype,
      ROUNDED: rounded,
      RIGHT: right.dtype,
      BIAS_TYPE: bias?.dtype ?? 'f32',
      RESIDUAL_TYPE: residual?.dtype ?? 'f32',
      RESULT: result.dtype,
      TILE_ROWS: tile[0],
      TILE_COLUMNS: tile[1],
      ...defines,
    },
    features: [...new Set<Feature>([...storageFeatures(matmulOperands(problem)), ...features])],
    access: ['read', 'read', 'read', 'read', 'write'],
    params: {
      rows: u32(rows),
      columns: u32(columns),
      depth: u32(depth),
      batches: u32(outer * inner),
      innerBatch: u32(inner),
      scale: f32(problem.scale),
      ...batchParameters('left', left),
      leftRowStride: u32(left.strides[2]!),
      leftDepthStride: u32(left.strides[3]!),
      ...batchParameters('right', right),
      rightDepthStride: u32(right.strides[2]!),
      rightColumnStride: u32(right.strides[3]!),
      hasBias: u32(Number(bias !== undefined)),
      hasResidual: u32(Number(residual !== undefined)),
      activation: u32(activationNames.indexOf(problem.activation)),
      biasOffset: u32(bias?.offset ?? 0),
      ...batchParameters('residual', residual),
      residualRowStride: u32(residual?.strides[2] ?? 0),
      ...batchParameters('result', result),
      resultRowStride: u32(result.strides[2]!),
    },
    workgroups: spreadWorkgroups(tiles, traits),
  };
}

/**
 * Whether units for matrices multiply where there are enough rows: they take narrow weights, and others if they may. Every
 * variant rounds operands to the digits of f16 then, so that results do not depend on how many rows there are. Beyond the
 * range of f16 they do: units take what is larger as infinite, and what is smaller as less.
 */
export function takesMatrixUnits(
  { right, halves }: Pick<MatmulProblem, 'right' | 'halves'>,
  traits: AdapterTraits,
): boolean {
  return traits.f16 && traits.matrixUnits !== undefined && (right.dtype !== 'f32' || halves === true);
}

function batchParameters(name: string, operand: Operand | undefined): Launch['params'] {
  return {
    [`${name}Offset`]: u32(operand?.offset ?? 0),
    [`${name}OuterStride`]: u32(operand?.strides[0] ?? 0),
    [`${name}InnerStride`]: u32(operand?.strides[1] ?? 0),
  };
}

/** Names of an operand's last two dimensions, as the shaders know them. */
const matrixDimensions = { left: ['rows', 'depth'], right: ['depth', 'columns'] } as const;

/**
 * The dimension along which four neighbours of an operand can be loaded as one vec4, or `none`: it is contiguous,
 * and every vector starts at a multiple of four elements.
 */
export function vectorDimension(
  side: 'left' | 'right',
  { shape, strides, offset }: Operand,
): 'rows' | 'depth' | 'columns' | 'none' {
  const along = strides[3] === 1 ? 3 : 2;
  const aligned = strides.every((stride, d) => d === along || shape[d]! <= 1 || stride % 4 === 0);
  return strides[along] === 1 && offset % 4 === 0 && aligned ? matrixDimensions[side][along - 2]! : 'none';
}

export function matmulCost(problem: MatmulProblem): Cost {
  const depth = problem.left.shape[3]!;
  const operands = [problem.left, problem.right, problem.result, problem.bias, problem.residual];
  return {
    flops: 2 * elementCount(problem.result.shape) * depth,
    bytes: operands.reduce((bytes, operand) => bytes + (operand ? operandBytes(operand) : 0), 0),
  };
}
