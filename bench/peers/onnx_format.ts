/** Writes ONNX models: the few messages of its protobuf schema that small graphs need. */

/** Element types by their number in the format. */
export const onnxTypes = { float32: 1, uint8: 2, int32: 6, int64: 7, float16: 10 } as const;

export type OnnxType = keyof typeof onnxTypes;

export interface OnnxTensor {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly number[];
}

/** A tensor whose values are part of the model, little-endian. */
export interface OnnxInitializer extends OnnxTensor {
  readonly bytes: Uint8Array;
}

export interface OnnxNode {
  readonly operator: string;
  /** Names of tensors; an empty one leaves an optional input out. */
  readonly inputs: readonly string[];
  readonly output: string;
  /** Domain of the operator, ONNX's own unless given. */
  readonly domain?: string;
  /** Whole numbers are integers, others floats: an operator's float attribute may not be whole. */
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>;
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxInitializer[];
  readonly inputs: readonly OnnxTensor[];
  readonly outputs: readonly OnnxTensor[];
}

/** Version of the file format, and of the operators that models are written for. */
const [formatVersion, operatorVersion] = [10, 21];
/** Domain of ONNX Runtime's own operators. */
export const microsoft = 'com.microsoft';

/** Bytes of a message's fields, in parts that are joined once: weights are not copied at each level. */
type Parts = readonly Uint8Array[];

/** Seven bits a byte; negative numbers as those of 64 bits. */
function variableInteger(value: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return bytes;
}

function integer(field: number, value: number): Parts {
  return [Uint8Array.from([...variableInteger(field << 3), ...variableInteger(value)])];
}

function float(field: number, value: number): Parts {
  const bytes = new DataView(new ArrayBuffer(4));
  bytes.setFloat32(0, value, true);
  return [Uint8Array.from([...variableInteger((field << 3) | 5)]), new Uint8Array(bytes.buffer)];
}

function message(field: number, ...parts: Parts[]): Parts {
  const content = parts.flat();
  const length = content.reduce((sum, { byteLength }) => sum + byteLength, 0);
  return [Uint8Array.from([...variableInteger((field << 3) | 2), ...variableInteger(length)]), ...content];
}

function text(field: number, value: string): Parts {
  return message(field, [new TextEncoder().encode(value)]);
}

function all<T>(items: readonly T[], part: (item: T) => Parts): Parts {
  return items.flatMap((item) => part(item));
}

function attribute(name: string, value: number | readonly number[]): Parts {
  const [floatType, integerType, integersType] = [1, 2, 7];
  if (typeof value !== 'number') {
    const integers = all(value, (item) => integer(8, item));
    return message(5, text(1, name), integers, integer(20, integersType));
  }
  return Number.isInteger(value)
    ? message(5, text(1, name), integer(3, value), integer(20, integerType))
    : message(5, text(1, name), float(2, value), integer(20, floatType));
}

function node({ operator, inputs, output, domain = '', attributes = {} }: OnnxNode): Parts {
  return message(
    1,
    all(inputs, (name) => text(1, name)),
    text(2, output),
    text(3, output),
    text(4, operator),
    all(Object.entries(attributes), ([name, value]) => attribute(name, value)),
    text(7, domain),
  );
}

function initializer({ name, type, shape, bytes }: OnnxInitializer): Parts {
  const sizes = all(shape, (size) => integer(1, size));
  return message(5, sizes, integer(2, onnxTypes[type]), text(8, name), message(9, [bytes]));
}

function described(field: number, { name, type, shape }: OnnxTensor): Parts {
  const sizes = all(shape, (size) => message(1, integer(1, size)));
  return message(
    field,
    text(1, name),
    message(2, message(1, integer(1, onnxTypes[type]), message(2, sizes))),
  );
}

/** The bytes of a model file. */
export function onnxBytes({ nodes, initializers, inputs, outputs }: OnnxGraph): Uint8Array {
  const graph = message(
    7,
    all(nodes, node),
    text(2, 'work'),
    all(initializers, initializer),
    all(inputs, (tensor) => described(11, tensor)),
    all(outputs, (tensor) => described(12, tensor)),
  );
  const operators = [
    ['', operatorVersion],
    [microsoft, 1],
  ] as const;
  return Buffer.concat([
    ...integer(1, formatVersion),
    ...graph,
    ...all(operators, ([domain, version]) => message(8, text(1, domain), integer(2, version))),
  ]);
}
