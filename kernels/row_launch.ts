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
import { vectorType } from './stream.js';

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
  /** Of as many as are taken at once. */
  readonly columns: number;
  readonly defines: Defines;
  readonly params: Readonly<Record<string, Parameter>>;
}

/** Columns that kernels can take at once: 4 where the rows of all of these operands begin and end at such a boundary. */
export function rowWidth(operands: readonly Operand[]): 1 | 4 {
  const inFours = ({ offset, shape, strides }: Operand): boolean =>
    [offset, shape.at(-1)!, ...strides.slice(0, -1).filter((_, d) => shape[d] !== 1)].every(
      (elements) => elements % 4 === 0,
    );
  return operands.every(inFours) ? 4 : 1;
}

/**
 * What `row_offsets.wgsl` needs to find the rows of operands of any outer strides.
 * @param width columns at once, of {@link rowWidth}
 */
export function rowPlaces(kernel: string, { x, gradient, result }: RowOperands, width: 1 | 4 = 1): RowPlaces {
  const columns = x.shape.at(-1)!;
  for (const { strides } of gradient ? [x, gradient] : [x]) {
    if (strides.at(-1) !== 1 && columns > 1) {
      throw new Error(`${kernel}: the last dimension must be contiguous, its stride is ${strides.at(-1)}`);
    }
  }
  const outer = x.shape.slice(0, -1);
  const named = Object.entries({ x, gradient, result }).flatMap(([name, operand]) =>
    operand ? [{ name, operand, width: hasColumns(operand, x) ? width : 1 }] : [],
  );
  const folded = foldDimensions(
    outer,
    named.map((own) => own.operand.strides.slice(0, outer.length).map((stride) => stride / own.width)),
  );
  return {
    rows: elementCount(outer),
    columns: columns / width,
    defines: {
      RANK: folded.sizes.length,
      GRADIENT_ROWS: gradient !== undefined,
      RESULT_ROWS: result !== undefined,
      WIDTH: width,
      FLOATS: vectorType('f32', width),
    },
    params: {
      ...Object.fromEntries(named.map((own) => [`${own.name}Offset`, u32(own.operand.offset / own.width)])),
      ...dimensionParameters(
        folded,
        named.map(({ name }) => name),
      ),
    },
  };
}

/** Whether an operand has all columns of `x`, or one entry a row. */
function hasColumns(operand: Operand, x: Operand): boolean {
  return operand.shape.length === x.shape.length;
}

interface RowSharing {
  /** Lanes of a workgroup. */
  readonly workgroup: number;
  /** Whether those that share a row are one subgroup. */
  readonly subgroup: boolean;
  /** Lanes that share a row: all of the workgroup's, or on a CPU one where the row is not long. */
  readonly lanes: number;
  /** Rows that a workgroup takes: on a CPU as many as leave every core some workgroups. */
  readonly span: number;
}

/** Longest row that a lane of a CPU takes alone, in as many columns as are taken at once. */
const loneColumns = 256;

/**
 * How lanes share rows: whatever the number of rows, since sums in another order are rounded otherwise.
 * @param columns of a row, in as many as are taken at once
 */
export function rowSharing(rows: number, columns: number, traits: AdapterTraits): RowSharing {
  const { lanes: workgroup, subgroup } = rowLanes(traits);
  if (!traits.software) return { workgroup, subgroup, lanes: workgroup, span: 1 };
  const lanes = columns <= loneColumns ? 1 : workgroup;
  const atOnce = workgroup / lanes;
  const span = atOnce * Math.min(16, Math.ceil(rows / atOnce / 64));
  return { workgroup, subgroup: subgroup && lanes > 1, lanes, span };
}

/**
 * A kernel whose workgroups go through rows (`row.wgsl`). Operands: x, the gradient of its shape where there is one,
 * those by column, result (one entry a row, or of x's shape), further outputs.
 */
export function launchRows(
  kernel: string,
  x: Operand,
  result: Operand,
  extra: {
    readonly gradient?: Operand;
    /** Operands `[columns]`, contiguous. */
    readonly byColumn?: Readonly<Record<string, Operand>>;
    readonly outputs?: readonly Operand[];
    readonly defines?: Defines;
    readonly params?: Readonly<Record<string, Parameter>>;
  },
  traits: AdapterTraits,
): Launch {
  const { gradient } = extra;
  const byColumn = Object.entries(extra.byColumn ?? {});
  const inputs = [x, ...(gradient ? [gradient] : []), ...byColumn.map(([, operand]) => operand)];
  const resultColumns = hasColumns(result, x);
  const width = rowWidth(resultColumns ? [...inputs, result] : inputs);
  const { rows, columns, defines, params } = rowPlaces(kernel, { x, gradient, result }, width);
  const { workgroup, subgroup, lanes, span } = rowSharing(rows, columns, traits);
  const outputs = [result, ...(extra.outputs ?? [])];
  return {
    kernel,
    file: `${kernel}.wgsl`,
    defines: {
      X: vectorType(x.dtype, width),
      ...(gradient && { GRADIENT: vectorType(gradient.dtype, width) }),
      ...Object.fromEntries(
        byColumn.map(([name, { dtype }]) => [name.toUpperCase(), vectorType(dtype, width)]),
      ),
      RESULT: vectorType(result.dtype, resultColumns ? width : 1),
      WORKGROUP: workgroup,
      LANES: lanes,
      SUBGROUP: subgroup,
      ...defines,
      ...extra.defines,
    },
    features: [...storageFeatures([...inputs, ...outputs]), ...(subgroup ? (['subgroups'] as const) : [])],
    access: [...inputs.map(() => 'read' as const), ...outputs.map(() => 'write' as const)],
    params: {
      rows: u32(rows),
      span: u32(span),
      columns: u32(columns),
      ...Object.fromEntries(byColumn.map(([name, { offset }]) => [`${name}Offset`, u32(offset / width)])),
      ...extra.params,
      ...params,
    },
    workgroups: spreadWorkgroups(Math.ceil(rows / span), traits),
  };
}
