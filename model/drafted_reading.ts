/** Reading from a draft, in few passes instead of step by step. */
import { type Device, type Tensor, concat, copyInto } from '../engine/index.js';
import { type BranchReading, cutReading } from './branch_reading.js';
import type { ContextPass, PassOptions } from './context_pass.js';
import type { PreparedMemory } from './decoder.js';
import { contextRows, draftContext, rowsToReadAgain } from './draft.js';
import { causalMaskValues } from './position_masks.js';

/** Passes over drafts, before rows that still differ from theirs are read step by step. */
const mostPasses = 6;

/** What a branch reads with. */
export interface DraftedBranch {
  readonly device: Device;
  readonly pass: ContextPass;
  readonly endId: number;
  /** Reads so many rows step by step, until all of them have ended. */
  readonly readStepwise: (
    memory: PreparedMemory,
    rows: number,
    options: PassOptions,
  ) => Promise<BranchReading>;
}

interface Draft {
  /** Ids `[batch, 1 + known positions]`, the begin token first. */
  readonly draft: Uint32Array;
  readonly batch: number;
  /** To be read. */
  readonly positions: number;
}

/**
 * Reads what reading step by step does up to the ends of texts, in few passes where a draft foretells it. A pass reads every
 * position with the draft before it as context, so that a row is right up to the first character that differs from its
 * draft. Rows that differ before their end are read again with what they read as draft (Jacobi decoding: Santilli et
 * al., 2023), and step by step where that is not enough. No row's way depends on the others of its batch.
 * @returns a reading in which what follows a row's first end token means nothing
 */
export async function readDrafted(
  { device, pass, endId, readStepwise }: DraftedBranch,
  { draft, batch, positions }: Draft,
  memory: PreparedMemory,
  options: PassOptions,
): Promise<BranchReading> {
  return device.scope(async () => {
    const mask = device.tensor(causalMaskValues(positions), [positions, positions]);
    const passOver = (
      context: Uint32Array<ArrayBuffer>,
      seen: PreparedMemory,
      how: PassOptions,
    ): BranchReading =>
      pass.read(device.tensor(context, [context.length / positions, positions]), mask, seen, how);

    let context = draftContext(draft, batch, positions, endId);
    const reading = passOver(context, memory, options);
    for (let passes = 1; ; passes++) {
      const read = (await reading.ids.read()) as Uint32Array;
      const rows = rowsToReadAgain(context, read, positions, endId);
      if (rows.length === 0) return reading;
      const again = { rows, memory, into: reading, options };
      if (passes === mostPasses) {
        await readRows(device, again, (seen, how) => readStepwise(seen, rows.length, how));
        return reading;
      }
      context = draftContext(read, batch, positions, endId);
      const own = contextRows(context, rows, positions);
      await readRows(device, again, (seen, how) => passOver(own, seen, how));
    }
  });
}

/** Rows of a batch, what all of it looks at, where what they read belongs, and how the batch is read. */
interface RowsToRead {
  readonly rows: readonly number[];
  readonly memory: PreparedMemory;
  readonly into: BranchReading;
  readonly options: PassOptions;
}

/** Reads some rows of a batch again and puts them where they belong. */
function readRows(
  device: Device,
  { rows, memory, into, options: { keepsWork, attentionInto } }: RowsToRead,
  read: (memory: PreparedMemory, options: PassOptions) => BranchReading | Promise<BranchReading>,
): Promise<void> {
  return device.scope(async () => {
    const looked = attentionInto && device.empty('f32', attentionInto.shape.with(0, rows.length));
    // Work is kept for as many rows as the batch has.
    const keeps = keepsWork && rows.length === into.ids.shape[0];
    const again = await read(memoryOf(memory, rows), { keepsWork: keeps, attentionInto: looked });
    // Fewer than all where texts ended early.
    const positions = again.logits.shape[1]!;
    const own = cutReading(into, positions);
    putRows(again.logits, own.logits, rows);
    putRows(again.ids, own.ids, rows);
    if (looked) putRows(looked.slice(1, 0, positions), attentionInto.slice(1, 0, positions), rows);
  });
}

/** The memory of some rows of a batch, in order. */
function memoryOf(memory: PreparedMemory, rows: readonly number[]): PreparedMemory {
  const some = (all: Tensor): Tensor => {
    if (all.shape[0] === rows.length) return all;
    const parts = rows.map((row) => all.slice(0, row, row + 1));
    return concat(parts, 0);
  };
  return memory.map(({ key, value }) => ({ key: some(key), value: some(value) }));
}

/** Puts the rows of a tensor into these rows of another, in order. */
function putRows(from: Tensor, into: Tensor, rows: readonly number[]): void {
  if (into.shape[0] === rows.length) return copyInto(from, into);
  rows.forEach((row, place) => copyInto(from.slice(0, place, place + 1), into.slice(0, row, row + 1)));
}
