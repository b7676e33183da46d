import type { AdapterTraits, Launch, Operand } from './kernel.js';
import { launchStreams } from './stream.js';

export type CastOperands = {
  /** f32 or f16, dense. */
  readonly x: Operand;
  /** f32 or f16, dense, of as many elements. */
  readonly result: Operand;
};

export const castAccess = { x: 'read', result: 'write' } as const;

/** Tensors in another type, several in a launch. Operands: those of each set in the order of {@link castAccess}. */
export function launchCasts(sets: readonly CastOperands[], traits: AdapterTraits): Launch {
  return launchStreams({ kernel: 'casts', file: 'casts.wgsl', sets, access: castAccess }, traits);
}
