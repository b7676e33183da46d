/** Work on operands larger than a kernel can see, cut into parts that each fit. */
import type { Tensor } from './tensor.js';

/** The axis of each operand (by name, and of `output`) along which work can be cut; operands not named stay whole. */
export type Split = Readonly<Record<string, number>>;

/** Operands by name, `output` among them; absent optional ones are undefined. */
export type Operands = Readonly<Record<string, Tensor | undefined>>;

/** Ways along each of the first axes: all of them for element-wise work, all but the last for work on rows. */
export function anyAxis(rank: number, names: readonly string[]): Split[] {
  return Array.from({ length: rank }, (_, axis) => Object.fromEntries(names.map((name) => [name, axis])));
}

/**
 * Calls `work` with the operands, or with slices of them one after another, so that each fits a binding. What no
 * split makes smaller is passed as it is: `work` goes through it by windows of its own, or its dispatch throws.
 */
export function inParts<O extends Operands>(
  operands: O,
  splits: (operands: O) => readonly Split[],
  work: (parts: O) => void,
): void {
  const large = Object.entries(operands).filter(([, tensor]) => tensor && !tensor.device.fitsBinding(tensor));
  const ways = large.length > 0 ? splits(operands) : [];
  const cuts = large.flatMap(([name, tensor]) =>
    ways.flatMap((split) => {
      const axis = split[name];
      const size = axis === undefined ? 1 : tensor!.shape[axis]!;
      return size > 1 ? [{ split, size, stride: tensor!.strides[axis!]! }] : [];
    }),
  );
  // Halving the axis that lies outermost halves what must be bound; an inner one would not.
  const [outermost] = cuts.sort((a, b) => b.stride - a.stride);
  if (!outermost) {
    work(operands);
    return;
  }
  const { split, size } = outermost;
  const middle = Math.ceil(size / 2);
  for (const [start, end] of [
    [0, middle],
    [middle, size],
  ] as const) {
    const parts = Object.entries(operands).map(([name, tensor]) => {
      const axis = split[name];
      return [name, tensor && axis !== undefined ? tensor.slice(axis, start, end) : tensor];
    });
    inParts(Object.fromEntries(parts) as O, splits, work);
  }
}
