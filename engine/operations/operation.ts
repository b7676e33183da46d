/**
 * An operation is one row: its shape rule, how it runs, what it costs and how it may be cut where an operand is
 * larger than a kernel can see. Gradients will join the row.
 */
import type { Cost, Dtype, Launch, Operand } from '../../kernels/index.js';
import { ShapeError } from '../errors.js';
import { shapeText } from '../shape.js';
import { type Tensor, type TensorDevice, allocate } from '../tensor.js';

/** Named operands; absent optional ones are undefined. */
export type Inputs = Readonly<Record<string, Tensor | undefined>>;

export interface TensorSpecification {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** The axis of each operand (by name, and of `output`) along which the work can be cut; operands not named stay whole. */
export type Split = Readonly<Record<string, number>>;

export interface Operation<I extends Inputs, A> {
  readonly name: string;
  /** Shape rule. Throws ShapeError when the operands do not fit together. */
  output(inputs: I, attributes: A): TensorSpecification;
  /** Records the kernels that fill `output`. */
  forward(inputs: I, output: Tensor, attributes: A): void;
  /** Floating-point operations and the fewest bytes moved. */
  cost(inputs: I, output: TensorSpecification, attributes: A): Cost;
  /** Ways to cut the work into independent parts. */
  splits(inputs: I, output: TensorSpecification): readonly Split[];
}

/**
 * Runs an operation.
 * @param into a view to fill instead of a new tensor; its shape and type must be those of the shape rule
 */
export function run<I extends Inputs, A>(
  operation: Operation<I, A>,
  inputs: I,
  attributes: A,
  into?: Tensor,
): Tensor {
  const tensors = Object.values(inputs).filter((tensor) => tensor !== undefined);
  const device = tensors[0]!.device;
  if (tensors.some((tensor) => tensor.device !== device)) {
    throw new ShapeError(`${operation.name}: operands lie on different devices`);
  }
  const { dtype, shape } = operation.output(inputs, attributes);
  const output = into ?? allocate(device, dtype, shape, operation.name);
  if (into && shapeText(into.shape) !== shapeText(shape)) {
    throw new ShapeError(
      `${operation.name}: the result is ${shapeText(shape)}; the given tensor is ${shapeText(into.shape)}`,
    );
  }
  if (into) checkTarget(operation.name, into, dtype, tensors);
  if (output.size > 0) device.scope(() => runInParts(operation, inputs, output, attributes));
  return output;
}

/** WebGPU binds no buffer for reading and writing at once, and only floats convert on their way out. */
function checkTarget(operation: string, into: Tensor, dtype: Dtype, operands: readonly Tensor[]): void {
  const isFloat = (type: Dtype): boolean => type === 'f32' || type === 'f16';
  if (into.dtype !== dtype && !(isFloat(into.dtype) && isFloat(dtype))) {
    throw new ShapeError(`${operation}: the result is ${dtype}; the given tensor is ${describe(into)}`);
  }
  const shared = operands.find((operand) => operand.buffer === into.buffer);
  if (shared) {
    throw new ShapeError(
      `${operation}: ${describe(shared)} lies in the same memory as the tensor to fill, ${describe(into)}; copy it first`,
    );
  }
}

function runInParts<I extends Inputs, A>(
  operation: Operation<I, A>,
  inputs: I,
  output: Tensor,
  attributes: A,
): void {
  const device = output.device;
  const operands: Readonly<Record<string, Tensor | undefined>> = { ...inputs, output };
  const large = Object.entries(operands).filter(([, tensor]) => tensor && !device.fitsBinding(tensor));
  const splits = large.length > 0 ? operation.splits(inputs, output) : [];
  const cuts = large.flatMap(([name, tensor]) =>
    splits.flatMap((split) => {
      const axis = split[name];
      const size = axis === undefined ? 1 : tensor!.shape[axis]!;
      return size > 1 ? [{ split, size, stride: tensor!.strides[axis!]! }] : [];
    }),
  );
  // Halving the axis that lies outermost halves what must be bound; an inner one would not.
  const [outermost] = cuts.sort((a, b) => b.stride - a.stride);
  if (!outermost) {
    // All fits, or the operation works through a whole operand by windows of its own.
    operation.forward(inputs, output, attributes);
    return;
  }
  const { split, size } = outermost;
  const middle = Math.ceil(size / 2);
  for (const [start, end] of [
    [0, middle],
    [middle, size],
  ] as const) {
    const cut = (operand: Tensor | undefined, key: string): Tensor | undefined => {
      const axis = split[key];
      return operand && axis !== undefined ? operand.slice(axis, start, end) : operand;
    };
    const parts = Object.fromEntries(
      Object.entries(inputs).map(([key, operand]) => [key, cut(operand, key)]),
    );
    runInParts(operation, parts as I, cut(output, 'output')!, attributes);
  }
}

/** Records one launch of an operation. */
export function dispatch(
  operation: string,
  device: TensorDevice,
  tensors: readonly (Tensor | undefined)[],
  build: (operands: readonly Operand[]) => Launch,
): void {
  const present = tensors.filter((tensor) => tensor !== undefined);
  device.dispatch(build, present, () => `${operation}(${present.map(describe).join(', ')})`);
}

export function describe(tensor: TensorSpecification): string {
  return `${tensor.dtype}${shapeText(tensor.shape)}`;
}

/** Bytes of some operands, each counted once. */
export function bytesOf(specifications: readonly (TensorSpecification | undefined)[]): number {
  return specifications.reduce((bytes, specification) => {
    if (!specification) return bytes;
    const width = specification.dtype === 'f16' ? 2 : 4;
    return bytes + specification.shape.reduce((count, size) => count * size, width);
  }, 0);
}
