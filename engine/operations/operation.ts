/**
 * An operation is one row: its shape rule, how it runs, its gradients, what it costs and how it may be cut where an
 * operand is larger than a kernel can see.
 */
import {
  type Cost,
  type Dtype,
  type Launch,
  type Operand,
  bytesPerElement,
  elementCount,
} from '../../kernels/index.js';
import { EngineError, ShapeError } from '../errors.js';
import { isRecorded, noGrad } from '../graph.js';
import { shapeText } from '../shape.js';
import { type Split, inParts } from '../splitting.js';
import { Tensor, type TensorDevice, allocate } from '../tensor.js';
import { type Backward, recordOperation } from './backward.js';

/** Named operands; absent optional ones are undefined. */
export type Inputs = Readonly<Record<string, Tensor | undefined>>;

export interface TensorSpecification {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

export interface Operation<I extends Inputs, A> {
  readonly name: string;
  /** The name in messages, where attributes choose the function. */
  nameFor?(attributes: A): string;
  /**
   * Shape rule. Throws ShapeError for operands that callers may get wrong; what the public function before it folds
   * or expands is checked there.
   */
  output(inputs: I, attributes: A): TensorSpecification;
  /** Records the kernels that fill `output`. */
  forward(inputs: I, output: Tensor, attributes: A): void;
  /** The operand that may be of type q8. */
  readonly quantized?: string;
  /** Gradients of the operands. An operation without them gives constants. */
  readonly backward?: Backward<I, A>;
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
  const given = Object.entries(inputs).filter(([, tensor]) => tensor !== undefined);
  const name = operation.nameFor?.(attributes) ?? operation.name;
  needTensors(name, given.length === 0 ? inputs : Object.fromEntries(given));
  const foreign = given.find(
    ([operand, tensor]) => tensor!.dtype === 'q8' && operand !== operation.quantized,
  );
  if (foreign) {
    throw new ShapeError(
      `${name}: ${foreign[0]} is ${describe(foreign[1]!)}; only the weight of linear may be q8`,
    );
  }
  const tensors = given.map(([, tensor]) => tensor!);
  const device = tensors[0]!.device;
  const { dtype, shape } = operation.output(inputs, attributes);
  if (into && shapeText(into.shape) !== shapeText(shape)) {
    throw new ShapeError(
      `${name}: the result is ${shapeText(shape)}; the given tensor is ${shapeText(into.shape)}`,
    );
  }
  if (into) checkTarget(name, into, dtype, tensors);
  const differentiable = operation.backward !== undefined && (dtype === 'f32' || dtype === 'f16');
  const recorded = differentiable && isRecorded(tensors);
  if (recorded && into) {
    throw new EngineError(
      `${name}: a result written into a given tensor cannot be recorded for gradients; take a new one, or use noGrad`,
    );
  }
  return device.scope(() => {
    const output = into ?? allocate(device, dtype, shape, callText(name, tensors));
    const fill = (): void =>
      inParts<Readonly<Record<string, Tensor | undefined>> & { output: Tensor }>(
        { ...inputs, output },
        (whole) => operation.splits(whole as unknown as I, whole.output),
        ({ output: part, ...parts }) => operation.forward(parts as unknown as I, part, attributes),
      );
    device.countFlops(operation.cost(inputs, output, attributes).flops);
    if (output.size > 0 && recorded) noGrad(fill);
    else if (output.size > 0) fill();
    return recorded ? recordOperation(name, operation.backward, inputs, output, attributes) : output;
  });
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

/** Records one launch of an operation. */
export function dispatch(
  operation: string,
  device: TensorDevice,
  tensors: readonly (Tensor | undefined)[],
  build: (operands: readonly Operand[]) => Launch,
): void {
  const present = tensors.filter((tensor) => tensor !== undefined);
  device.dispatch(build, present, () => callText(operation, present));
}

/** An operation with its operands, as messages name it. */
export function callText(operation: string, tensors: readonly (Tensor | undefined)[]): string {
  return `${operation}(${tensors.flatMap((tensor) => (tensor ? [describe(tensor)] : [])).join(', ')})`;
}

export function describe(tensor: TensorSpecification): string {
  return `${tensor.dtype}${shapeText(tensor.shape)}`;
}

/**
 * Refuses what is no tensor before anything is asked of it: callers without types give numbers, arrays or nothing.
 * @param operands those that the operation cannot do without, by their names
 */
export function needTensors(operation: string, operands: Readonly<Record<string, unknown>>): void {
  for (const name in operands) {
    const given = operands[name];
    if (given instanceof Tensor) continue;
    const kind = Object.prototype.toString.call(given).slice(8, -1);
    const shown = typeof given === 'number' ? `the number ${given}` : kind;
    throw new ShapeError(
      `${operation}: ${name} is ${shown}; expected a tensor. Make one with device.tensor(values, shape).`,
    );
  }
}

/** Refuses integers where kernels compute in f32, which holds 24 of their bits. */
export function needFloats(operation: string, tensors: readonly (Tensor | undefined)[]): void {
  const present = tensors.filter((tensor) => tensor !== undefined);
  if (present.some(({ dtype }) => dtype === 'i32' || dtype === 'u32')) {
    throw new ShapeError(`${operation}: needs floats, got ${present.map(describe).join(', ')}`);
  }
}

/** Bytes of some operands, each counted once. */
export function bytesOf(specifications: readonly (TensorSpecification | undefined)[]): number {
  return specifications.reduce((bytes, specification) => {
    if (!specification) return bytes;
    return bytes + elementCount(specification.shape) * bytesPerElement[specification.dtype];
  }, 0);
}
