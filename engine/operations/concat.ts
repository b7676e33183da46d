import { ShapeError } from '../errors.js';
import { resolveAxis } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { copyInto } from './elementwise.js';
import { type Operation, bytesOf, describe, needTensors, run } from './operation.js';

/** Operands are named by their order. */
type Parts = Readonly<Record<string, Tensor>>;

export const concatRow: Operation<Parts, { axis: number }> = {
  name: 'concat',
  output(parts, { axis }) {
    const tensors = Object.values(parts);
    const first = tensors[0]!;
    const fits = tensors.every(
      ({ shape, dtype, rank }) =>
        rank === first.rank &&
        dtype === first.dtype &&
        shape.every((size, d) => d === axis || size === first.shape[d]),
    );
    if (!fits) {
      throw new ShapeError(`concat along ${axis}: ${tensors.map(describe).join(', ')} do not fit together`);
    }
    const total = tensors.reduce((size, { shape }) => size + shape[axis]!, 0);
    return { dtype: first.dtype, shape: first.shape.with(axis, total) };
  },
  forward(parts, output, { axis }) {
    let start = 0;
    for (const part of Object.values(parts)) {
      const end = start + part.shape[axis]!;
      copyInto(part, output.slice(axis, start, end));
      start = end;
    }
  },
  backward: {
    saves: () => [],
    gradients({ gradient, attributes: { axis }, names, target, needs }) {
      let start = 0;
      return Object.fromEntries(
        names.map((name) => {
          const end = start + target(name).shape[axis]!;
          const part = needs(name) ? gradient.slice(axis, start, end) : undefined;
          start = end;
          return [name, part];
        }),
      );
    },
  },
  cost: (parts, output) => ({ flops: 0, bytes: bytesOf([...Object.values(parts), output]) }),
  // Each part is copied by itself, and cut there.
  splits: () => [],
};

/**
 * Joins tensors along an axis; all other sizes and the types must agree.
 * @throws ShapeError otherwise
 */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  const first = tensors[0];
  if (!first) throw new ShapeError('concat: needs at least one tensor');
  needTensors('concat', Object.fromEntries(tensors.map((tensor, part) => [`tensors[${part}]`, tensor])));
  return run(concatRow, Object.fromEntries(tensors.entries()), {
    axis: resolveAxis(axis, first.rank, 'concat'),
  });
}
