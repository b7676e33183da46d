/** What an adapter starts from, as the original sets it up. */
import type { RandomGenerator } from '../engine/index.js';
import { type StrAdapterConfiguration, expectedParameters } from '../model/index.js';
import type { ParameterSource } from '../weights/index.js';
import { normalValues, xavierValues } from './initial_values.js';
import { prunedParameter } from './pruned_blocks.js';

/**
 * Parameters of an adapter on a CLIP that is about to be trained: ladders of blocks start as copies of CLIP's, pruned ones
 * with the heaviest rows and columns, all ladders with CLIP's last normalisation and projection and with gates half open;
 * what is left starts at random.
 *
 * @param clip plain CLIP's parameters; rounded to half precision for training as the original's
 * @returns values by original name, `adapter.…`
 */
export async function initialAdapter(
  configuration: StrAdapterConfiguration,
  clip: Pick<ParameterSource, 'readF32'>,
  random: RandomGenerator,
): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const [name, shape] of expectedParameters(configuration)) {
    if (!name.startsWith(prefix)) continue;
    const origin = clipParameter(name.slice(prefix.length), configuration);
    values.set(
      name,
      origin === undefined
        ? freshValues(name, shape, random)
        : prunedParameter(name, await clip.readF32(origin), shape),
    );
  }
  return values;
}

const prefix = 'adapter.';

/** The parameter of CLIP that one of an adapter's is a copy of. */
function clipParameter(name: string, { adapter }: StrAdapterConfiguration): string | undefined {
  if (/^(?:proj$|ln_post\.)/.test(name)) return `visual.${name}`;
  if (adapter.type !== 'ladder' && adapter.type !== 'ladder_pruning') return undefined;
  const [, rung, within] = /^resblocks\.(\d+)\.(.+)$/.exec(name) ?? [];
  return within && `visual.transformer.resblocks.${adapter.blocks[Number(rung)]}.${within}`;
}

function freshValues(name: string, shape: readonly number[], random: RandomGenerator): Float32Array {
  const [rows, columns] = shape as [number, number?];
  if (columns === undefined) return new Float32Array(rows).fill(/\bln_\d\.weight$/.test(name) ? 1 : 0);
  return name.endsWith('in_proj_weight')
    ? xavierValues(rows, columns, random)
    : normalValues(rows * columns, random);
}
