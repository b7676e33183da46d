import { ShapeError } from './errors.js';

/** Strides of a dense row-major tensor. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = step;
    step *= shape[d]!;
  }
  return strides;
}

export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let step = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1 && strides[d] !== step) return false;
    step *= shape[d]!;
  }
  return true;
}

/** Elements from the first to one past the last that a view touches. */
export function viewExtent(shape: readonly number[], strides: readonly number[]): number {
  if (shape.some((size) => size === 0)) return 0;
  return shape.reduce((extent, size, d) => extent + (size - 1) * strides[d]!, 1);
}

export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(',')}]`;
}

/** The dimension that `axis` names, counted from the end where negative. */
export function resolveAxis(axis: number, rank: number, operation: string): number {
  const resolved = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || resolved < 0 || resolved >= rank) {
    throw new ShapeError(`${operation}: axis ${axis} is outside a tensor of ${rank} dimensions`);
  }
  return resolved;
}

/** The shape two shapes broadcast to, by NumPy's rule. */
export function broadcastShapes(operation: string, a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, d) => {
    const [x, y] = [a[a.length - rank + d] ?? 1, b[b.length - rank + d] ?? 1];
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(`${operation}: ${shapeText(a)} and ${shapeText(b)} do not broadcast together`);
    }
    return x === 1 ? y : x;
  });
}

/**
 * Strides for a view of another shape over the same elements, or undefined where only a copy can give it.
 * Dimensions are matched in groups of equal element count, each of which must be contiguous in itself.
 */
export function reshapeStrides(
  shape: readonly number[],
  strides: readonly number[],
  target: readonly number[],
): number[] | undefined {
  if (isContiguous(shape, strides) || shape.includes(0)) return contiguousStrides(target);
  const result = new Array<number>(target.length).fill(0);
  let from = shape.length - 1;
  let to = target.length - 1;
  while (to >= 0) {
    if (target[to] === 1) {
      to--;
      continue;
    }
    while (from >= 0 && shape[from] === 1) from--;
    if (from < 0) return undefined;
    const step = strides[from]!;
    let have = shape[from]!;
    let lastStride = step * have;
    from--;
    let need = 1;
    while (to >= 0 && need < have) {
      result[to] = step * need;
      need *= target[to]!;
      to--;
      while (need > have) {
        while (from >= 0 && shape[from] === 1) from--;
        if (from < 0 || strides[from] !== lastStride) return undefined;
        have *= shape[from]!;
        lastStride = step * have;
        from--;
      }
    }
  }
  return result;
}
