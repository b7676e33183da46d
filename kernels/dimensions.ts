import { type Parameter, u32 } from './kernel.js';

/** Dimensions after folding, the last one first: sizes, and for each operand its strides. */
export interface FoldedDimensions {
  readonly sizes: readonly number[];
  readonly strides: readonly (readonly number[])[];
}

/**
 * Drops dimensions of size 1 and joins neighbours that lie behind each other in every operand, so that a kernel
 * divides by as few sizes as possible. At least one dimension remains.
 */
export function foldDimensions(
  shape: readonly number[],
  operandStrides: readonly (readonly number[])[],
): FoldedDimensions {
  const sizes: number[] = [];
  const strides: number[][] = operandStrides.map(() => []);
  for (let d = shape.length - 1; d >= 0; d--) {
    const size = shape[d]!;
    if (size === 1) continue;
    const last = sizes.length - 1;
    const joins = last >= 0 && operandStrides.every((own, o) => own[d] === strides[o]![last]! * sizes[last]!);
    if (joins) {
      sizes[last]! *= size;
    } else {
      sizes.push(size);
      operandStrides.forEach((own, o) => strides[o]!.push(own[d]!));
    }
  }
  if (sizes.length === 0) {
    sizes.push(1);
    strides.forEach((own) => own.push(0));
  }
  return { sizes, strides };
}

/** Whether the elements lie behind each other in memory, in order. */
export function isDense(shape: readonly number[], strides: readonly number[]): boolean {
  const folded = foldDimensions(shape, [strides]);
  return folded.sizes.length === 1 && (folded.sizes[0] === 1 || folded.strides[0]![0] === 1);
}

/** Uniform parameters of folded dimensions: `size0…`, and `<name>Stride0…` for each operand. */
export function dimensionParameters(
  folded: FoldedDimensions,
  names: readonly string[],
): Record<string, Parameter> {
  const parameters: Record<string, Parameter> = {};
  folded.sizes.forEach((size, d) => {
    parameters[`size${d}`] = u32(size);
    names.forEach((name, o) => {
      parameters[`${name}Stride${d}`] = u32(folded.strides[o]![d]!);
    });
  });
  return parameters;
}
