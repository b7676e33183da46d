import {
  type Activation,
  type Dtype,
  type MatmulProblem,
  type Operand,
  activationNames,
  chooseVariant,
  elementCount,
  matmulCost,
  matmulFamily,
  matmulOperands,
  matmulOperandsByName,
  quantizedBlock,
} from '../../kernels/index.js';
import { ShapeError } from '../errors.js';
import { isRecorded } from '../graph.js';
import { broadcastShapes, shapeText } from '../shape.js';
import { type Tensor, allocate } from '../tensor.js';
import { columnSum, sumRows } from './column_sum.js';
import { add, cast, contiguous, copyInto, gelu, quickGelu } from './elementwise.js';
import { type Operation, callText, describe, needFloats, needTensors, run } from './operation.js';

export interface MatmulOptions {
  /** `[columns]`. */
  readonly bias?: Tensor | undefined;
  readonly activation?: Activation;
  /** Of the result's shape; added last. */
  readonly residual?: Tensor | undefined;
  /** Factor of the products, applied before the bias. */
  readonly scale?: number;
  /** Type of the result instead of `left`'s. */
  readonly dtype?: 'f32' | 'f16';
  /**
   * Whether units for matrices may multiply two operands of f32, rounded to f16: small gradients need a loss scale then. Default
   * false: they do where `right` is f16 or int8 alone, and for the gradients of such a product.
   */
  readonly halves?: boolean;
  /** A view to fill instead of a new tensor. */
  readonly into?: Tensor;
}

type MatmulInputs = {
  /** `[outer, inner, rows, depth]`. */
  readonly left: Tensor;
  /** `[outer, inner, depth, columns]`. */
  readonly right: Tensor;
  readonly bias: Tensor | undefined;
  /** `[outer, inner, rows, columns]`. */
  readonly residual: Tensor | undefined;
};

type MatmulAttributes = {
  readonly activation: Activation;
  readonly scale: number;
  readonly halves?: boolean | undefined;
  readonly dtype?: Dtype | undefined;
};

/** Operands arrive with exactly two batch dimensions. */
export const matmulRow: Operation<MatmulInputs, MatmulAttributes> = {
  name: 'matmul',
  quantized: 'right',
  output({ left, right }, { dtype = left.dtype }) {
    return { dtype, shape: [...left.shape.slice(0, 3), right.shape[3]!] };
  },
  forward({ left, right, bias, residual }, output, { activation, scale, halves }) {
    const { device } = output;
    const inputs = { left, right, bias, residual };
    const problem: MatmulProblem = { ...inputs, activation, scale, halves, result: output };
    const variant = chooseVariant(matmulFamily, problem, device);
    const parts = variant.parts?.(problem);
    const products = parts ? allocate(device, 'f32', output.shape.with(1, parts), 'matmul') : output;
    const bound = matmulOperands({ ...inputs, result: products });
    device.dispatch(
      (operands) => variant.launch({ ...problem, ...matmulOperandsByName(operands, inputs) }, device.traits),
      bound,
      () => callText('matmul', [left, right, bias, residual, products]),
    );
    if (parts) columnSum(products.reshape([parts, -1]), output.reshape([-1]));
  },
  backward: {
    saves: (_, needs) => (needs('right') ? ['left', 'right'] : ['right']),
    gradients({ gradient, attributes: { scale, halves = false }, saved, needs, target }) {
      const right = saved('right');
      const of = (name: 'left' | 'right'): MatmulOptions => ({
        scale,
        // Of a narrow weight from halves as well, as it was multiplied.
        halves: halves || right.dtype === 'f16',
        dtype: target(name).dtype as 'f32' | 'f16',
      });
      return {
        left: needs('left') ? matmul(gradient, right.transpose(), of('left')) : undefined,
        right: needs('right') ? rightGradient(saved('left'), right, gradient, of('right')) : undefined,
        bias: needs('bias') ? biasGradient(gradient, target('bias').dtype) : undefined,
        residual: gradient,
      };
    },
  },
  cost({ left, right, bias, residual }, output, { activation, scale }) {
    const result: Operand = { ...output, strides: [], offset: 0 };
    return matmulCost({ left, right, bias, residual, activation, scale, result });
  },
  splits: () => [
    { left: 2, residual: 2, output: 2 },
    { right: 3, bias: 0, residual: 3, output: 3 },
    { left: 0, right: 0, residual: 0, output: 0 },
    { left: 1, right: 1, residual: 1, output: 1 },
  ],
};

/**
 * Matrix product `activation(scale * left right + bias) + residual`, f32 accumulation.
 * @param left `[..., rows, depth]`; any strides, so a transposed operand is a view
 * @param right `[..., depth, columns]`; batch dimensions broadcast
 * @returns `[..., rows, columns]`
 * @throws ShapeError when sizes do not agree
 */
export function matmul(left: Tensor, right: Tensor, options: MatmulOptions = {}): Tensor {
  const { bias, residual, activation = 'none', scale = 1, halves, dtype } = options;
  needTensors('matmul', { left, right, ...(bias && { bias }), ...(residual && { residual }) });
  if (!activationNames.includes(activation)) {
    throw new ShapeError(
      `matmul: activation is ${String(activation)}; expected ${activationNames.join(', ')}`,
    );
  }
  const [rows, columns] = [left.shape.at(-2)!, right.shape.at(-1)!];
  const operands = [left, right, bias, residual];
  const fail = (): never => {
    const parts = operands.filter((operand) => operand !== undefined).map(describe);
    throw new ShapeError(`matmul: ${parts.join(', ')} do not fit together`);
  };
  needFloats('matmul', operands);
  if (left.rank < 2 || right.rank < 2 || left.shape.at(-1) !== right.shape.at(-2)) fail();
  const [outer, other] = [left.shape.slice(0, -2), right.shape.slice(0, -2)];
  if (!canBroadcast(outer, other)) fail();
  const batch = broadcastShapes('matmul', outer, other);
  const shape = [...batch, rows, columns];
  if (residual && shapeText(residual.shape) !== shapeText(shape)) fail();
  if (bias && (shapeText(bias.shape) !== shapeText([columns]) || !bias.contiguous)) fail();

  if (right.dtype === 'q8') {
    const blocks = [right.offset, ...right.strides.slice(0, -2), right.strides.at(-1)!, right.shape.at(-2)!];
    if (right.strides.at(-2) !== 1 || blocks.some((elements) => elements % quantizedBlock !== 0)) {
      throw new ShapeError(
        `matmul: ${describe(right)} is quantized, and can only be the weight of linear, in whole rows`,
      );
    }
    if (isRecorded([right]))
      throw new ShapeError(`matmul: no gradient goes to the quantized ${describe(right)}`);
  }
  if (left.shape.at(-1)! > deepest) return deepMatmul(left, right, options);
  return left.device.scope(() => {
    const { into } = options;
    if (activation !== 'none' && !into && isRecorded(operands)) {
      // The gradient of an activation needs what went into it, which the fused form does not keep.
      const before = matmul(left, right, { ...options, activation: 'none', residual: undefined });
      const after = activations[activation](before);
      return residual ? add(after, residual) : after;
    }
    if (into && (shapeText(into.shape) !== shapeText(shape) || (into.strides.at(-1) !== 1 && columns > 1))) {
      throw new ShapeError(
        `matmul: the result is ${shapeText(shape)}; the given tensor is ${describe(into)}`,
      );
    }
    const dense = residual && residual.strides.at(-1) !== 1 && columns > 1 ? contiguous(residual) : residual;
    const folded = foldBatch(left, right, dense, into, batch);
    const inputs = {
      ...folded.inputs,
      left: cuttable(folded.inputs.left, 2),
      right: cuttable(folded.inputs.right, 3),
      bias,
    };
    const product = run(matmulRow, inputs, { activation, scale, halves, dtype }, folded.output);
    return into ?? product.reshape(shape);
  });
}

/**
 * Depth up to which the two levels of sums of the kernels (`sum_span.wgsl`) keep like products within 1e-5: the outer
 * sum has 256 terms then.
 */
const deepest = 32_768;

/** A product too deep for one launch, added up in parts, which are f32. */
function deepMatmul(left: Tensor, right: Tensor, options: MatmulOptions): Tensor {
  const {
    bias,
    residual,
    activation = 'none',
    scale = 1,
    halves = false,
    dtype = left.dtype,
    into,
  } = options;
  return left.device.scope(() => {
    let total: Tensor | undefined;
    const depth = left.shape.at(-1)!;
    for (let start = 0; start < depth; start += deepest) {
      const end = Math.min(depth, start + deepest);
      const [leftPart, rightPart] = [left.slice(-1, start, end), right.slice(-2, start, end)];
      const rest = { halves, dtype: 'f32', bias: total ? undefined : bias } as const;
      const product = matmul(leftPart, rightPart, { scale, ...rest });
      // Not as a residual: with one the part could not be cut for a GPU that its tiles do not fill.
      const before = total;
      total = before ? add(before, product) : product;
      if (before) for (const added of [before, product]) added.dispose();
    }
    const activated = activation === 'none' ? total! : activations[activation](total!);
    const result = residual ? add(activated, residual) : activated;
    if (!into) return result.dtype === dtype ? result : cast(result, dtype);
    copyInto(result, into);
    return into;
  });
}

const activations = { quick_gelu: quickGelu, gelu } as const;

/** The sum over all rows, in the type of the bias: one of f16 would be infinite past 65,504. */
function biasGradient(gradient: Tensor, dtype: Dtype): Tensor {
  const columns = gradient.shape.at(-1)!;
  const total = allocate(gradient.device, dtype, [columns], 'matmul');
  return sumRows(contiguous(gradient).reshape([-1, columns]), { into: total });
}

/** `leftᵀ gradient`, summed over batch dimensions that the right operand has not, in the memory order of the right operand. */
function rightGradient(left: Tensor, right: Tensor, gradient: Tensor, options: MatmulOptions): Tensor {
  const transposed = right.strides[2]! < right.strides[3]!;
  return transposed
    ? matmul(gradient.transpose(), left, options).transpose()
    : matmul(left.transpose(), gradient, options);
}

/**
 * `x weightᵀ + bias`, as PyTorch stores linear layers.
 * @param x `[..., rows, inputs]`
 * @param weight `[outputs, inputs]`
 */
export function linear(x: Tensor, weight: Tensor, options: MatmulOptions = {}): Tensor {
  needTensors('linear', { x, weight });
  if (x.rank < 2 || weight.rank !== 2 || x.shape.at(-1) !== weight.shape[1]) {
    throw new ShapeError(
      `linear: ${describe(x)} and the weight ${describe(weight)} do not fit together; ` +
        'it needs x [...,rows,inputs] and weight [outputs,inputs]',
    );
  }
  return x.device.scope(() => matmul(x, weight.transpose(), options));
}

/** Brings all operands to two batch dimensions; with an unbatched right operand, batch dimensions become rows. */
function foldBatch(
  left: Tensor,
  right: Tensor,
  residual: Tensor | undefined,
  output: Tensor | undefined,
  batch: readonly number[],
): { inputs: Omit<MatmulInputs, 'bias'>; output: Tensor | undefined } {
  const count = elementCount(batch);
  const [rows, depth] = left.shape.slice(-2) as [number, number];
  const columns = right.shape.at(-1)!;
  if (right.shape.slice(0, -2).every((size) => size === 1)) {
    const inRows = (tensor: Tensor | undefined): Tensor | undefined =>
      tensor && tryReshape(tensor, [1, 1, count * rows, -1]);
    const [leftRows, outputRows] = [inRows(left), inRows(output)];
    if (leftRows && (outputRows || !output)) {
      // One that is the same for all of a batch is copied: a product for each would cost more.
      const residualRows = inRows(residual) ?? inRows(residual && contiguous(residual));
      const matrix = right.reshape([1, 1, depth, columns]);
      return { inputs: { left: leftRows, right: matrix, residual: residualRows }, output: outputRows };
    }
  }
  const [outer, inner] =
    batch.length <= 2
      ? [batch.length === 2 ? batch[0]! : 1, batch.at(-1) ?? 1]
      : [batch[0]!, elementCount(batch.slice(1))];
  const fold = (tensor: Tensor, matrix: readonly number[]): Tensor => {
    const expanded = tensor.expand([...batch, ...matrix]);
    const view = tryReshape(expanded, [outer, inner, ...matrix]);
    return view ?? contiguous(expanded).reshape([outer, inner, ...matrix]);
  };
  return {
    inputs: {
      left: fold(left, [rows, depth]),
      right: fold(right, [depth, columns]),
      residual: residual && fold(residual, [rows, columns]),
    },
    output: output?.reshape([outer, inner, rows, columns]),
  };
}

/** An operand too large for a binding is cut along `axis`; where that axis lies inside, a copy has it outside. */
function cuttable(matrix: Tensor, axis: 2 | 3): Tensor {
  const other = axis === 2 ? 3 : 2;
  if (matrix.device.fitsBinding(matrix) || matrix.strides[axis]! >= matrix.strides[other]!) return matrix;
  return axis === 2 ? contiguous(matrix) : contiguous(matrix.transpose()).transpose();
}

/** Whether batch dimensions, aligned at the end, are equal or 1. */
function canBroadcast(a: readonly number[], b: readonly number[]): boolean {
  return a.every((_, i) => {
    const [x, y] = [a.at(-1 - i), b.at(-1 - i) ?? 1];
    return x === y || x === 1 || y === 1;
  });
}

function tryReshape(tensor: Tensor, shape: readonly number[]): Tensor | undefined {
  try {
    return tensor.reshape(shape);
  } catch {
    return undefined;
  }
}
