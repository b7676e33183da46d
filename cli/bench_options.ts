import type { ModelName } from '../bench/kernels/shapes.js';
import type { Precision, PresetName } from '../model/index.js';
import { UsageError } from './errors.js';

/** Options of `bench`, those of all modes together. */
export interface BenchOptions {
  readonly kernels?: true;
  readonly model?: true;
  /** A preset. */
  readonly training?: string;
  readonly scaling?: true;
  readonly reference?: string;
  readonly device?: string;
  readonly precision?: Precision;
  /** Images at once. */
  readonly batches?: readonly number[];
  /** The Python that has PyTorch, or true for the usual one. */
  readonly torch?: string | true;
  readonly json?: true;
  readonly quiet?: true;

  readonly models?: readonly ModelName[];
  readonly filter?: string;
  readonly peers?: true;
  readonly installPeers?: true;
  readonly compare?: string;
  readonly tune?: true;
  readonly html?: string;

  readonly checkpoint?: string;
  readonly preset?: string;
  /** A preset whose model is made up. */
  readonly untrained?: PresetName;
  readonly batchSize?: number;
  readonly tolerance?: number;
  readonly check?: true;
}

/** Whether other runtimes are to take part. */
export function wantsPeers({ peers, installPeers }: BenchOptions): boolean {
  return peers === true || installPeers === true;
}

/** @throws UsageError for int8, in which nothing is trained */
export function floatPrecision({ precision }: BenchOptions): 'f32' | 'f16' | undefined {
  if (precision !== 'int8') return precision;
  throw new UsageError('--precision int8 is for reading: give it with --kernels, --model or --reference.');
}
