/**
 * What a kernel is to the rest of the house: a plain value that names a WGSL file, how to expand it, what to
 * bind and how many workgroups to start. Nothing here knows a GPU object or a tensor.
 */

/**
 * Element types that buffers hold. f16 and q8 are storage formats only: every kernel computes in f32, but for products,
 * attention and its gradients on units for matrices, which multiply f16 and add up in f32. q8 is int8 in blocks of 32 neighbours with a common scale (`quantize.wgsl`), for weights of matrix products.
 */
export type Dtype = 'f32' | 'f16' | 'i32' | 'u32' | 'q8';

export const bytesPerElement: Readonly<Record<Dtype, number>> = {
  f32: 4,
  f16: 2,
  i32: 4,
  u32: 4,
  q8: 36 / 32,
};

/**
 * What units multiply for a whole subgroup: `[rows, depth]` times `[depth, columns]`, both f16, added up in f32.
 */
export interface MatrixSizes {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  /** Lanes of a subgroup. */
  readonly lanes: number;
}

/** Units that multiply small matrices, and were seen to compute products rightly. */
export interface MatrixUnits extends MatrixSizes {
  /** Whether they were seen to compute attention rightly as well. */
  readonly attend: boolean;
  /** And its gradients. */
  readonly attendBackward: boolean;
}

/** What a kernel may know of the adapter when it chooses its variant and tile sizes. */
export interface AdapterTraits {
  /** Lanes of a subgroup where the adapter has one fixed size, else 0 (no subgroup kernel is chosen). */
  readonly subgroupSize: number;
  /** Whether buffers may hold f16. */
  readonly f16: boolean;
  /** Where the adapter has such, and they were seen to compute rightly. */
  readonly matrixUnits?: MatrixUnits;
  /** Whether the adapter is a CPU: other variants are fast there. */
  readonly software: boolean;
  readonly maxWorkgroupInvocations: number;
  readonly maxWorkgroupStorageBytes: number;
  readonly maxWorkgroupsPerDimension: number;
  /** Tensors that one launch may bind. */
  readonly maxBoundTensors: number;
}

/** One bound buffer as a kernel sees it: offset and strides in elements. */
export interface Operand {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

export type Defines = Readonly<Record<string, string | number | boolean>>;

/** What a kernel does with a bound buffer; `readWrite` works in place. */
export type Access = 'read' | 'write' | 'readWrite';

/** A member of the uniform block `params`, in the type that WGSL sees. */
export interface Parameter {
  readonly type: 'u32' | 'f32';
  readonly value: number;
}

/** Features of WGSL, as it names them. */
export type Feature = 'f16' | 'subgroups' | 'chromium_experimental_subgroup_matrix';

/** One dispatch, completely described. */
export interface Launch {
  /** The kernel's name, for messages and profiles. */
  readonly kernel: string;
  /** The WGSL file in this folder. */
  readonly file: string;
  readonly defines: Defines;
  readonly features: readonly Feature[];
  /** How each storage binding is used, from `@binding(1)` on; binding 0 is `params`. */
  readonly access: readonly Access[];
  /** The uniform block: the WGSL `struct Params` is generated from these names, in this order. */
  readonly params: Readonly<Record<string, Parameter>>;
  readonly workgroups: readonly [number, number, number];
}

/** Floating-point operations done and the fewest bytes moved by a piece of work. */
export interface Cost {
  readonly flops: number;
  readonly bytes: number;
}

export function u32(value: number): Parameter {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new RangeError(`kernel parameter ${value} is not a 32-bit unsigned integer`);
  }
  return { type: 'u32', value };
}

export function f32(value: number): Parameter {
  return { type: 'f32', value };
}

/** A quiet NaN as a `u32` parameter: WGSL has no NaN literal. */
export const notANumberBits = 0x7fc00000;

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}

export function operandBytes(operand: Operand): number {
  return elementCount(operand.shape) * bytesPerElement[operand.dtype];
}

/** Features that operands of these types need. */
export function storageFeatures(operands: readonly { dtype: Dtype }[]): 'f16'[] {
  return operands.some((operand) => operand.dtype === 'f16') ? ['f16'] : [];
}

/**
 * Spreads `count` workgroups over two dimensions, since one dimension holds 65,535 at most. Kernels undo it
 * with `workgroup_index()` of `grid.wgsl`; surplus workgroups find an index past the end and return.
 */
export function spreadWorkgroups(count: number, traits: AdapterTraits): [number, number, number] {
  const limit = traits.maxWorkgroupsPerDimension;
  if (count <= limit) return [count, 1, 1];
  const rows = Math.ceil(count / limit);
  return [Math.ceil(count / rows), rows, 1];
}
