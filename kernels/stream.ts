/** What kernels on dense operands of one size share: vectors, and how much of them a workgroup takes. */
import { isDense } from './dimensions.js';
import {
  type Access,
  type AdapterTraits,
  type Defines,
  type Launch,
  type Operand,
  type Parameter,
  elementCount,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';

/** An operand of a stream; its offset reaches the kernel as `<name>Offset`, its element type as `<NAME>`. */
export interface Streamed {
  readonly operand: Operand;
  readonly access: Access;
}

interface Stream {
  readonly kernel: string;
  readonly file: string;
  /** Dense operands of one size, in the order of their bindings. */
  readonly streams: Readonly<Record<string, Streamed>>;
  /** Operands of one element, bound after them. */
  readonly scalars?: Readonly<Record<string, Operand>>;
  /** Whether this launch can take several elements at once, where its operands can. */
  readonly vectors?: boolean;
  readonly defines?: Defines;
  readonly params?: Readonly<Record<string, Parameter>>;
}

/** Elements that the operands can be read by at once: 4 where all begin and end at such a boundary, else 1. */
export function vectorWidth(operands: readonly Operand[]): 1 | 4 {
  return operands.every(({ shape, offset }) => elementCount(shape) % 4 === 0 && offset % 4 === 0) ? 4 : 1;
}

/** WGSL type of `width` elements. */
export function vectorType(element: string, width: 1 | 4): string {
  return width === 4 ? `vec4<${element}>` : element;
}

/**
 * Lanes of a workgroup and vectors that it takes. On a CPU a workgroup costs as much as hundreds of elements and runs a
 * little faster when it is one subgroup; a GPU wants many workgroups.
 */
export function streamSpan(vectors: number, traits: AdapterTraits): { lanes: number; span: number } {
  if (!traits.software) {
    const lanes = Math.min(256, traits.maxWorkgroupInvocations);
    return { lanes, span: 4 * lanes };
  }
  const span = Math.min(4096, Math.max(256, Math.ceil(vectors / 64)));
  return { lanes: traits.subgroupSize > 0 ? traits.subgroupSize : 64, span };
}

/**
 * One launch over all elements of its streams.
 * @throws Error where they are not dense or differ in size
 */
export function launchStream(stream: Stream, traits: AdapterTraits): Launch {
  const entries = Object.entries(stream.streams);
  const operands = entries.map(([, { operand }]) => operand);
  const count = elementCount(operands[0]!.shape);
  for (const [name, { operand }] of entries) {
    if (!isDense(operand.shape, operand.strides) || elementCount(operand.shape) !== count) {
      throw new Error(
        `${stream.kernel}: ${name} [${operand.shape.join(',')}] with strides [${operand.strides.join(',')}] ` +
          `must be dense and of ${count} elements`,
      );
    }
  }
  const scalars = Object.entries(stream.scalars ?? {});
  const width = (stream.vectors ?? true) ? vectorWidth(operands) : 1;
  const vectors = count / width;
  const { lanes, span } = streamSpan(vectors, traits);
  return {
    kernel: stream.kernel,
    file: stream.file,
    defines: {
      WIDTH: width,
      FLOATS: vectorType('f32', width),
      WORKGROUP: lanes,
      ...Object.fromEntries(
        entries.map(([name, { operand }]) => [name.toUpperCase(), vectorType(operand.dtype, width)]),
      ),
      ...stream.defines,
    },
    features: storageFeatures(operands),
    access: [...entries.map(([, { access }]) => access), ...scalars.map(() => 'read' as const)],
    params: {
      vectors: u32(vectors),
      span: u32(span),
      ...Object.fromEntries(
        entries.map(([name, { operand }]) => [`${name}Offset`, u32(operand.offset / width)]),
      ),
      ...Object.fromEntries(scalars.map(([name, { offset }]) => [`${name}Offset`, u32(offset)])),
      ...stream.params,
    },
    workgroups: spreadWorkgroups(Math.ceil(vectors / span), traits),
  };
}
