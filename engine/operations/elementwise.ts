import {
  type BinaryFunction,
  type Dtype,
  type UnaryFunction,
  type UnaryGradient,
  elementCount,
  launchBinary,
  launchUnary,
  launchUnaryGradient,
  unaryGradients,
} from '../../kernels/index.js';
import { EngineError, ShapeError } from '../errors.js';
import { isRecording } from '../graph.js';
import { broadcastShapes, reshapeStrides, shapeText } from '../shape.js';
import { anyAxis } from '../splitting.js';
import type { Tensor, TensorDevice } from '../tensor.js';
import { type Operation, bytesOf, describe, dispatch, needFloats, needTensors, run } from './operation.js';

/** Functions whose gradient needs nothing but the gradient of the result. */
type LinearFunction = Exclude<UnaryFunction, UnaryGradient>;

const isLinear = (name: UnaryFunction): name is LinearFunction => !(name in unaryGradients);

const unaryGradientRow: Operation<{ source: Tensor; gradient: Tensor }, { name: UnaryGradient }> = {
  name: 'unaryGradient',
  nameFor: ({ name }) => `${name}Gradient`,
  output: ({ source: { dtype, shape } }) => ({ dtype, shape }),
  forward({ source, gradient }, output, { name }) {
    const { device } = output;
    dispatch(`${name}Gradient`, device, [source, gradient, output], ([from, upstream, to]) =>
      launchUnaryGradient(name, from!, upstream!, to!, device.traits),
    );
  },
  cost: ({ source, gradient }, output) => ({
    flops: 2 * elementCount(output.shape),
    bytes: bytesOf([source, gradient, output]),
  }),
  splits: ({ source }) => anyAxis(source.rank, ['source', 'gradient', 'output']),
};

type UnaryAttributes = { name: UnaryFunction; dtype: Dtype; factor?: number };

export const unary: Operation<{ x: Tensor }, UnaryAttributes> = {
  name: 'unary',
  nameFor: ({ name }) => name,
  output: ({ x }, { dtype }) => ({ dtype, shape: x.shape }),
  forward({ x }, output, { name, factor }) {
    const { device } = output;
    dispatch(name, device, [x, output], ([from, to]) => launchUnary(name, from!, to!, device.traits, factor));
  },
  backward: {
    saves: ({ name }) => (isLinear(name) ? [] : [unaryGradients[name].from]),
    // What a copy in f16 gets goes to f32 in the end: rounded on its way it could only lose.
    gradientDtype: ({ name, dtype }, target) =>
      name === 'copy' && target('x').dtype === 'f32' ? 'f32' : dtype,
    gradients({ gradient, attributes: { name, factor }, saved }) {
      if (name === 'copy') return { x: gradient };
      if (name === 'negate') return { x: negate(gradient) };
      if (name === 'scale') return { x: scale(gradient, factor!) };
      const source = saved(unaryGradients[name].from);
      return { x: run(unaryGradientRow, { source, gradient }, { name }) };
    },
  },
  cost: ({ x }, output) => ({ flops: elementCount(x.shape), bytes: bytesOf([x, output]) }),
  splits: ({ x }) => anyAxis(x.rank, ['x', 'output']),
};

/** Operands arrive expanded to the result's shape. */
export const binary: Operation<{ x: Tensor; y: Tensor }, { name: BinaryFunction }> = {
  name: 'binary',
  nameFor: ({ name }) => name,
  output({ x, y }, { name }) {
    const integers = [x, y].map(({ dtype }) => dtype === 'i32' || dtype === 'u32');
    if (x.dtype !== y.dtype && integers.some(Boolean)) {
      throw new ShapeError(`${name}: ${describe(x)} and ${describe(y)} mix element types; cast one first`);
    }
    return { dtype: x.dtype === y.dtype ? x.dtype : 'f32', shape: x.shape };
  },
  forward({ x, y }, output, { name }) {
    const { device } = output;
    const build = launchBinary;
    dispatch(name, device, [x, y, output], ([a, b, to]) => build(name, a!, b!, to!, device.traits));
  },
  backward: {
    saves: ({ name }, needs) => {
      if (name === 'divide') return needs('y') ? ['x', 'y'] : ['y'];
      if (name !== 'multiply') return [];
      return [...(needs('y') ? (['x'] as const) : []), ...(needs('x') ? (['y'] as const) : [])];
    },
    gradients({ gradient, attributes: { name }, saved, needs }) {
      const ofX = (): Tensor => {
        if (name === 'multiply') return multiply(gradient, saved('y'));
        return name === 'divide' ? divide(gradient, saved('y')) : gradient;
      };
      const ofY = (): Tensor => {
        if (name === 'multiply') return multiply(gradient, saved('x'));
        // One after the other: the square of y may lie outside of its type.
        if (name === 'divide')
          return negate(multiply(gradient, divide(divide(saved('x'), saved('y')), saved('y'))));
        return name === 'subtract' ? negate(gradient) : gradient;
      };
      return { x: needs('x') ? ofX() : undefined, y: needs('y') ? ofY() : undefined };
    },
  },
  cost: ({ x, y }, output) => ({ flops: elementCount(output.shape), bytes: bytesOf([x, y, output]) }),
  splits: ({ x }) => anyAxis(x.rank, ['x', 'y', 'output']),
};

function applyUnary(name: UnaryFunction, x: Tensor): Tensor {
  needTensors(name, { x });
  needFloats(name, [x]);
  return run(unary, { x }, { name, dtype: x.dtype });
}

function applyBinary(name: BinaryFunction, x: Tensor, y: Tensor): Tensor {
  needTensors(name, { x, y });
  const shape = broadcastShapes(name, x.shape, y.shape);
  return x.device.scope(() => run(binary, { x: x.expand(shape), y: y.expand(shape) }, { name }));
}

/** `factor * x`. */
export function scale(x: Tensor, factor: number): Tensor {
  needTensors('scale', { x });
  needFloats('scale', [x]);
  return run(unary, { x }, { name: 'scale', dtype: x.dtype, factor });
}

export const negate = (x: Tensor): Tensor => applyUnary('negate', x);
export const exp = (x: Tensor): Tensor => applyUnary('exp', x);
export const log = (x: Tensor): Tensor => applyUnary('log', x);
export const sqrt = (x: Tensor): Tensor => applyUnary('sqrt', x);
export const reciprocal = (x: Tensor): Tensor => applyUnary('reciprocal', x);
/** `max(x, 0)`. Whether a NaN comes through follows the hardware. */
export const relu = (x: Tensor): Tensor => applyUnary('relu', x);
export const sigmoid = (x: Tensor): Tensor => applyUnary('sigmoid', x);
export const tanh = (x: Tensor): Tensor => applyUnary('tanh', x);
/** The exact GELU, by the error function. */
export const gelu = (x: Tensor): Tensor => applyUnary('gelu', x);
/** CLIP's activation, x sigmoid(1.702 x). */
export const quickGelu = (x: Tensor): Tensor => applyUnary('quickGelu', x);

/** `x + y`; shapes broadcast by NumPy's rule, as in the three below. */
export const add = (x: Tensor, y: Tensor): Tensor => applyBinary('add', x, y);
export const subtract = (x: Tensor, y: Tensor): Tensor => applyBinary('subtract', x, y);
export const multiply = (x: Tensor, y: Tensor): Tensor => applyBinary('multiply', x, y);
export const divide = (x: Tensor, y: Tensor): Tensor => applyBinary('divide', x, y);

/** @throws EngineError for f16 where the adapter has none */
export function needF16(operation: string, { traits }: TensorDevice, dtype: Dtype): void {
  if (dtype !== 'f16' || traits.f16) return;
  throw new EngineError(`${operation}: this adapter has no f16; use f32`);
}

/** The same values in another element type, dense, or written into a view of that type. */
export function cast(x: Tensor, dtype: Dtype, into?: Tensor): Tensor {
  needTensors('cast', { x });
  needF16('cast', x.device, dtype);
  return run(unary, { x }, { name: 'copy', dtype }, into);
}

/** A dense copy, or another view of the same memory where the tensor is dense already. */
export function contiguous(x: Tensor): Tensor {
  needTensors('contiguous', { x });
  return x.contiguous
    ? x.view(x.shape, x.strides, x.offset, isRecording() ? x.node : undefined)
    : run(unary, { x }, { name: 'copy', dtype: x.dtype });
}

/** The same elements in another shape: a view where strides allow, else of a dense copy. */
export const reshape = (x: Tensor, shape: readonly number[]): Tensor =>
  reshapeStrides(x.shape, x.strides, shape) ? x.reshape(shape) : contiguous(x).reshape(shape);

/**
 * Copies `x`, broadcast and converted as needed, into a tensor or slice. Nothing of it is recorded: gradients that need
 * what the target held before fail.
 */
export function copyInto(x: Tensor, target: Tensor): void {
  needTensors('copyInto', { x, target });
  if (shapeText(broadcastShapes('copyInto', x.shape, target.shape)) !== shapeText(target.shape)) {
    throw new ShapeError(`copyInto: ${describe(x)} does not fit ${describe(target)}`);
  }
  x.device.scope(() => {
    const source = x.buffer === target.buffer ? run(unary, { x }, { name: 'copy', dtype: x.dtype }) : x;
    run(unary, { x: source.expand(target.shape) }, { name: 'copy', dtype: target.dtype }, target);
  });
}

/** Images `[batch, channels, height, width]` as rows of patches, `[batch, patches, channels * patch height * patch width]`. */
export function patches(images: Tensor, patchSize: readonly [number, number]): Tensor {
  needTensors('patches', { images });
  const [batch, channels, height, width] = images.shape as [number, number, number, number];
  const [patchHeight, patchWidth] = patchSize;
  if (images.rank !== 4 || height % patchHeight !== 0 || width % patchWidth !== 0) {
    throw new ShapeError(
      `patches: ${describe(images)} does not divide into patches of ${patchHeight}x${patchWidth}`,
    );
  }
  const [rows, columns] = [height / patchHeight, width / patchWidth];
  return images.device.scope(() => {
    const cut = images.reshape([batch, channels, rows, patchHeight, columns, patchWidth]);
    const ordered = contiguous(cut.permute([0, 2, 4, 1, 3, 5]));
    return ordered.reshape([batch, rows * columns, channels * patchHeight * patchWidth]);
  });
}
