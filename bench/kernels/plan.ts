import {
  type AdapterTraits,
  attendsBackwardByMatrixUnits,
  attendsByMatrixUnits,
  quantizedBlock,
} from '../../kernels/index.js';
import { isProjection } from './encoder_work.js';
import { type ModelName, type UsedWork, modelWork } from './shapes.js';
import { type KernelName, type NumberType, type Work, roleOf } from './work.js';

/** Which work is wanted. */
export interface PlanOptions {
  readonly models: readonly ModelName[];
  /** Images at once. */
  readonly batches: readonly number[];
  readonly dtypes: readonly NumberType[];
  /** Words that all must occur in what is known of a row, as {@link rowText} has it. */
  readonly filter: string;
  /** Of the adapter: where its units for matrices attend, what lies beside is f16. */
  readonly traits: AdapterTraits;
}

export interface PlannedRow {
  readonly used: UsedWork;
  readonly dtype: NumberType;
}

/** The rows of a benchmark; work that occurs at several of the places that are wanted is done once, at the first of them. */
export function planRows({ models, batches, dtypes, filter, traits }: PlanOptions): PlannedRow[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const seen = new Set<string>();
  return models
    .flatMap((model) => batches.flatMap((batch) => modelWork(model, batch)))
    .flatMap((used) => dtypes.map((dtype) => ({ used: asComputed(used, dtype, traits), dtype })))
    .filter(({ used, dtype }) => isStoredAs(used, dtype))
    .filter(({ used, dtype }) => words.every((word) => rowText(used, dtype).includes(word)))
    .filter(({ used: { work }, dtype }) => {
      const key = JSON.stringify([work, dtype]);
      return !seen.has(key) && seen.add(key);
    });
}

/** With the types beside attention that models choose for the adapter, as `attendsInHalves` does. */
function asComputed(
  { besideAttention, ...used }: UsedWork,
  dtype: NumberType,
  traits: AdapterTraits,
): UsedWork {
  const { stage, work } = used;
  if (!besideAttention || work.kernel !== 'matmul' || dtype === 'f32') return used;
  const { queries, width, halves } = besideAttention;
  const attends =
    attendsByMatrixUnits(queries, width, traits) &&
    (stage !== 'training' || attendsBackwardByMatrixUnits(width, traits));
  return attends ? { ...used, work: { ...work, halves } } : used;
}

/** Kernels on sums and ids, or on numbers that are f32 in any case. */
const neverHalf: readonly KernelName[] = [
  'end_padding',
  'gradient_norm',
  // Of parameters and their gradients, which are f32 in mixed precision too.
  'square_sum',
  'adamw',
  'momentum',
  'lerp',
];

function isEverHalf(work: Work): boolean {
  if (work.kernel === 'matmul') return roleOf(work) !== 'of an optimizer';
  return !neverHalf.includes(work.kernel);
}

/** Whether numbers are stored so there. In int8 models have weights in reading, by rows of whole blocks. */
export function isStoredAs(use: UsedWork, dtype: NumberType): boolean {
  const { stage, of, work } = use;
  if (work.kernel === 'quantize') return dtype === 'int8';
  if (work.kernel === 'cast') return dtype === 'f16';
  if (dtype !== 'int8') return dtype === 'f32' || isEverHalf(work);
  return (
    stage !== 'training' &&
    work.kernel === 'matmul' &&
    roleOf(work) === 'by a weight' &&
    work.rightTransposed &&
    !isProjection(use) &&
    work.depth % quantizedBlock === 0 &&
    // Weights of convolutions stay as they are.
    of !== 'pixels'
  );
}

/** Everything that a row can be found by. */
export function rowText({ model, batch, stage, purpose, work }: UsedWork, dtype: NumberType): string {
  return `${model} batch ${batch} ${stage} ${purpose}: ${work.kernel} ${shapeOf(work)} ${dtype}`.toLowerCase();
}

/** The sizes of some work in a few characters. */
export function shapeOf(work: Work): string {
  if (work.kernel === 'matmul') {
    const { batch, rows, depth, columns, leftTransposed, rightTransposed } = work;
    const sides = `${leftTransposed ? 'T' : ''}${rows}x${depth}x${columns}${rightTransposed ? 'T' : ''}`;
    return batch === 1 ? sides : `${batch}x${sides}`;
  }
  if ('heads' in work) {
    const { batch, heads, queries, keys, width, causal } = work;
    return `${batch}x${heads}x${queries}x${keys}x${width}${causal ? ' causal' : ''}`;
  }
  if ('tableRows' in work) return `${work.rows} of ${work.tableRows}x${work.width}`;
  if ('count' in work) return String(work.count);
  return `${work.sums === undefined ? '' : `${work.sums}x`}${work.rows}x${work.width}`;
}
