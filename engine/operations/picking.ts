import { elementCount, launchEmbedding, launchEndPadding, launchGather } from '../../kernels/index.js';
import { ShapeError } from '../errors.js';
import { resolveAxis, shapeText } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { contiguous } from './elementwise.js';
import { type Operation, bytesOf, describe, dispatch, needTensors, run } from './operation.js';
import { sum } from './rows.js';
import { scatter } from './scatter.js';
import { axisWindows } from './windows.js';

const embeddingRow: Operation<
  { table: Tensor; ids: Tensor; positions: Tensor | undefined },
  { scale: number }
> = {
  name: 'embedding',
  output({ table, ids, positions }) {
    const fits =
      table.rank === 2 &&
      table.strides[1] === 1 &&
      ids.rank === 2 &&
      ids.dtype === 'u32' &&
      table.shape[0]! > 0;
    const placed = !positions || shapeText(positions.shape) === shapeText([ids.shape[1]!, table.shape[1]!]);
    if (!fits || !placed || (positions && positions.strides[1] !== 1)) {
      const operands = [table, ids, ...(positions ? [positions] : [])];
      throw new ShapeError(
        `embedding: needs a table [rows,width], u32 ids [batch,length] and positions [length,width]; got ${operands.map(describe).join(', ')}`,
      );
    }
    return { dtype: 'f32', shape: [...ids.shape, table.shape[1]!] };
  },
  forward({ table, ids, positions }, output, { scale }) {
    const { device } = output;
    const tableRows = table.shape[0]!;
    for (const { start, part } of axisWindows(table, 0)) {
      dispatch('embedding', device, [part, ids, positions, output], (operands) =>
        launchEmbedding(
          {
            table: operands[0]!,
            ids: operands[1]!,
            positions: positions ? operands[2] : undefined,
            windowStart: start,
            tableRows,
            scale,
            result: operands.at(-1)!,
          },
          device.traits,
        ),
      );
    }
  },
  backward: {
    saves: () => ['ids'],
    gradients({ gradient, attributes: { scale }, saved, target, needs }) {
      const ofTable = (): Tensor => {
        const { dtype, shape } = target('table');
        const picks = contiguous(gradient).reshape([1, -1, shape[1]!]);
        const index = contiguous(saved('ids')).reshape([1, -1]);
        return scatter(picks, index, { dtype, axis: shape[0]!, outside: 'nowhere', scale }).select(0, 0);
      };
      return {
        table: needs('table') ? ofTable() : undefined,
        positions: needs('positions') ? sum(gradient, [0]) : undefined,
      };
    },
  },
  cost: ({ ids, positions }, output) => ({
    flops: (positions ? 2 : 1) * elementCount(output.shape),
    bytes: bytesOf([ids, positions, output, output]),
  }),
  splits: () => [
    { ids: 0, output: 0 },
    { ids: 1, positions: 0, output: 1 },
  ],
};

const gatherRow: Operation<{ x: Tensor; index: Tensor }, Record<never, never>> = {
  name: 'gather',
  output({ x, index }) {
    if (x.shape[1] === 0 && index.size > 0)
      throw new ShapeError(`gather: the axis of ${describe(x)} has no entries to pick`);
    return { dtype: x.dtype, shape: [x.shape[0]!, index.shape[1]!, x.shape[2]!] };
  },
  forward({ x, index }, output) {
    const { device } = output;
    const axis = x.shape[1]!;
    const picks = contiguous(index);
    for (const { start, part } of axisWindows(x, 1)) {
      dispatch('gather', device, [part, picks, output], ([from, by, to]) =>
        launchGather({ x: from!, windowStart: start, axis, index: by!, result: to! }, device.traits),
      );
    }
  },
  backward: {
    saves: () => ['index'],
    gradients({ gradient, saved, target }) {
      const { dtype, shape } = target('x');
      return { x: scatter(gradient, saved('index'), { dtype, axis: shape[1]!, outside: 'last' }) };
    },
  },
  cost: ({ index }, output) => ({ flops: 0, bytes: bytesOf([index, output, output]) }),
  splits: () => [
    { x: 0, index: 0, output: 0 },
    { index: 1, output: 1 },
  ],
};

const endPaddingRow: Operation<{ ids: Tensor }, { endId: number }> = {
  name: 'endPadding',
  output({ ids }) {
    if (ids.rank !== 2 || ids.dtype !== 'u32' || ids.strides[1] !== 1) {
      throw new ShapeError(`endPadding: needs u32 ids [batch,length], got ${describe(ids)}`);
    }
    return { dtype: 'u32', shape: ids.shape };
  },
  forward({ ids }, output, { endId }) {
    const { device } = output;
    dispatch('endPadding', device, [ids, output], ([from, to]) =>
      launchEndPadding(endId, from!, to!, device.traits),
    );
  },
  cost: ({ ids }, output) => ({ flops: 0, bytes: bytesOf([ids, output]) }),
  splits: () => [{ ids: 0, output: 0 }],
};

export const pickingOperations = [embeddingRow, gatherRow, endPaddingRow] as const;

/**
 * Rows of a table by id: `scale * table[ids] + positions`.
 * @param table `[rows, width]`, f32 or f16, of any size
 * @param ids `[batch, length]` u32; an id past the table gives a row of NaN
 * @param options `positions` `[length, width]` is added to every batch entry
 * @returns `[batch, length, width]` f32
 */
export function embedding(
  table: Tensor,
  ids: Tensor,
  options: { scale?: number; positions?: Tensor | undefined } = {},
): Tensor {
  needTensors('embedding', { table, ids });
  const inputs = { table, ids, positions: options.positions };
  return run(embeddingRow, inputs, { scale: options.scale ?? 1 });
}

/**
 * Picks entries along an axis: `result[..., j, ...] = x[..., index[..., j], ...]`, where `index` (u32) has x's
 * dimensions before the axis and one more for the picks. An index past the axis takes its last entry.
 */
export function gather(x: Tensor, index: Tensor, axis: number): Tensor {
  needTensors('gather', { x, index });
  const d = resolveAxis(axis, x.rank, 'gather');
  const before = x.shape.slice(0, d);
  if (
    index.dtype !== 'u32' ||
    shapeText(index.shape.slice(0, -1)) !== shapeText(before) ||
    index.rank !== d + 1
  ) {
    throw new ShapeError(
      `gather along ${axis}: ${describe(x)} needs u32 indices [${before.join(',')},picks], got ${describe(index)}`,
    );
  }
  return x.device.scope(() => {
    const outer = elementCount(before);
    const inner = elementCount(x.shape.slice(d + 1));
    const folded = contiguous(x).reshape([outer, x.shape[d]!, inner]);
    const picks = contiguous(index).reshape([outer, index.shape.at(-1)!]);
    return run(gatherRow, { x: folded, index: picks }, {}).reshape(x.shape.with(d, index.shape.at(-1)!));
  });
}

/** 1 from each row's first `endId` on, else 0: the key-padding mask of token ids `[batch, length]` (u32). */
export const endPadding = (ids: Tensor, endId: number): Tensor => run(endPaddingRow, { ids }, { endId });
