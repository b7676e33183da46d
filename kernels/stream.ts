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

/** Dense operands of one size that a kernel goes through side by side, by name. */
type StreamSet<Name extends string> = Readonly<Record<Name, Operand>>;

interface Streams<Name extends string> {
  readonly kernel: string;
  readonly file: string;
  /**
   * In the order of their bindings. Those of set `s` reach the kernel with their offsets as `<name>Offset<s>`; types are as in the
   * first set, the element type of a name as `<NAME>`.
   */
  readonly sets: readonly StreamSet<Name>[];
  readonly access: Readonly<Record<Name, Access>>;
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
 * One launch over all elements of its sets.
 * @throws Error where operands are not dense, those of a set differ in size, or sets in types
 */
export function launchStreams<Name extends string>(stream: Streams<Name>, traits: AdapterTraits): Launch {
  const { kernel, sets, access } = stream;
  const names = Object.keys(access) as Name[];
  const counts = sets.map((set) => checkedCount(kernel, names, set, sets[0]!));
  const operands = sets.flatMap((set) => names.map((name) => set[name]));
  const scalars = Object.entries(stream.scalars ?? {});
  const width = (stream.vectors ?? true) ? vectorWidth(operands) : 1;
  const vectors = counts.map((count) => count / width);
  const { lanes, span } = streamSpan(Math.max(...vectors), traits);
  const params: Record<string, Parameter> = { span: u32(span) };
  let workgroups = 0;
  for (const [s, set] of sets.entries()) {
    params[`first${s}`] = u32(workgroups);
    params[`vectors${s}`] = u32(vectors[s]!);
    for (const name of names) params[`${name}Offset${s}`] = u32(set[name].offset / width);
    workgroups += Math.ceil(vectors[s]! / span);
  }
  for (const [name, { offset }] of scalars) params[`${name}Offset`] = u32(offset);
  return {
    kernel,
    file: stream.file,
    defines: {
      SETS: sets.length,
      WIDTH: width,
      FLOATS: vectorType('f32', width),
      WORKGROUP: lanes,
      ...Object.fromEntries(
        names.map((name) => [name.toUpperCase(), vectorType(sets[0]![name].dtype, width)]),
      ),
      ...stream.defines,
    },
    features: storageFeatures(operands),
    access: [...sets.flatMap(() => names.map((name) => access[name])), ...scalars.map(() => 'read' as const)],
    params: { ...params, ...stream.params },
    workgroups: spreadWorkgroups(workgroups, traits),
  };
}

/** Elements of each operand of a set. */
function checkedCount<Name extends string>(
  kernel: string,
  names: readonly Name[],
  set: StreamSet<Name>,
  first: StreamSet<Name>,
): number {
  const count = elementCount(set[names[0]!].shape);
  for (const name of names) {
    const { shape, strides, dtype } = set[name];
    if (!isDense(shape, strides) || elementCount(shape) !== count || dtype !== first[name].dtype) {
      throw new Error(
        `${kernel}: ${name} ${dtype}[${shape.join(',')}] with strides [${strides.join(',')}] ` +
          `must be dense ${first[name].dtype} of ${count} elements`,
      );
    }
  }
  return count;
}

/**
 * Shares sets out to launches, those alike in types and vectors together.
 * @param most sets that a launch may bind
 */
export function setsPerLaunch<Own extends StreamSet<string>>(sets: readonly Own[], most: number): Own[][] {
  const alike = new Map<string, Own[]>();
  for (const set of sets) {
    const operands = Object.values(set);
    const key = `${vectorWidth(operands)} ${operands.map(({ dtype }) => dtype).join(' ')}`;
    const others = alike.get(key);
    if (others) others.push(set);
    else alike.set(key, [set]);
  }
  return [...alike.values()].flatMap((group) => {
    const launches: Own[][] = [];
    for (let first = 0; first < group.length;) {
      // Each number of sets is a program of its own to compile: what is left takes powers of two.
      const left = group.length - first;
      const count = left >= most ? most : 2 ** Math.floor(Math.log2(left));
      launches.push(group.slice(first, (first += count)));
    }
    return launches;
  });
}
