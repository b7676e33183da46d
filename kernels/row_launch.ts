/** What launches of row kernels share: a row is the last dimension of an operand. */
import { dimensionParameters, foldDimensions } from './dimensions.js';
import {
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

/** Lanes that share a row: one subgroup where its size is known, else a workgroup with shared memory. */
export function rowLanes(traits: AdapterTraits): { lanes: number; subgroup: boolean } {
  return traits.subgroupSize > 0
    ? { lanes: traits.subgroupSize, subgroup: true }
    : { lanes: 64, subgroup: false };
}

/** Operands that have rows. `x` and `gradient` are of one shape, whose outer dimensions `result` has too. */
interface RowOperands {
  readonly x: Operand;
  readonly gradient?: Operand | undefined;
  readonly result?: Operand | undefined;
}

interface RowPlaces {
  readonly rows: number;
  readonly columns: number;
  readonly defines: Defines;
  readonly params: Readonly<Record<string, Parameter>>;
}

/** What `row_offsets.wgsl` needs to find the rows of operands of any outer strides. */
export function rowPlaces(kernel: string, { x, gradient, result }: RowOperands): RowPlaces {
  const columns = x.shape.at(-1)!;
  for (const { strides } of gradient ? [x, gradient] : [x]) {
    if (strides.at(-1) !== 1 && columns > 1) {
      throw new Error(`${kernel}: the last dimension must be contiguous, its stride is ${strides.at(-1)}`);
    }
  }
  const outer = x.shape.slice(0, -1);
  const named = Object.entries({ x, gradient, result }).flatMap(([name, operand]) =>
    operand ? [{ name, operand }] : [],
  );
  const folded = foldDimensions(
    outer,
    named.map(({ operand }) => operand.strides.slice(0, outer.length)),
  );
  return {
    rows: elementCount(outer),
    columns,
    defines: {
      RANK: folded.sizes.length,
      GRADIENT_ROWS: gradient !== undefined,
      RESULT_ROWS: result !== undefined,
    },
    params: {
      ...Object.fromEntries(named.map(({ name, operand }) => [`${name}Offset`, u32(operand.offset)])),
      ...dimensionParameters(
        folded,
        named.map(({ name }) => name),
      ),
    },
  };
}

/**
 * A kernel that takes a row a workgroup. Operands: x, the gradient of its shape where there is one, further inputs,
 * result (one entry a row, or one a row and column), further outputs.
 */
export function launchRows(
  kernel: string,
  x: Operand,
  result: Operand,
  extra: {
    readonly gradient?: Operand;
    readonly inputs?: readonly Operand[];
    readonly outputs?: readonly Operand[];
    readonly defines?: Defines;
    readonly params?: Readonly<Record<string, Parameter>>;
    /** Whether each lane takes a row of its own instead of sharing one. */
    readonly rowPerLane?: boolean;
  },
  traits: AdapterTraits,
): Launch {
  const { gradient } = extra;
  const { rows, columns, defines, params } = rowPlaces(kernel, { x, gradient, result });
  const { lanes, subgroup } = rowLanes(traits);
  const inputs = [x, ...(gradient ? [gradient] : []), ...(extra.inputs ?? [])];
  const outputs = [result, ...(extra.outputs ?? [])];
  return {
    kernel,
    file: `${kernel}.wgsl`,
    defines: {
      X: x.dtype,
      ...(gradient && { GRADIENT: gradient.dtype }),
      RESULT: result.dtype,
      WORKGROUP: lanes,
      SUBGROUP: subgroup,
      ...defines,
      ...extra.defines,
    },
    features: [...storageFeatures([...inputs, ...outputs]), ...(subgroup ? (['subgroups'] as const) : [])],
    access: [...inputs.map(() => 'read' as const), ...outputs.map(() => 'write' as const)],
    params: { rows: u32(rows), columns: u32(columns), ...extra.params, ...params },
    workgroups: spreadWorkgroups(extra.rowPerLane ? Math.ceil(rows / lanes) : rows, traits),
  };
}
