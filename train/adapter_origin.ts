import type { AdapterConfiguration } from '../model/index.js';

/**
 * The parameter of plain CLIP that one of an adapter starts as a copy of: ladders of blocks those of CLIP's blocks, pruned
 * where theirs are smaller, and all ladders CLIP's last normalisation and projection. All else starts at random.
 *
 * @param name `adapter.…`
 * @returns CLIP's name, or undefined for what is no copy
 */
export function adapterOrigin(name: string, adapter: AdapterConfiguration): string | undefined {
  const own = /^adapter\.(.+)$/.exec(name)?.[1];
  if (own === undefined) return undefined;
  if (/^(?:proj$|ln_post\.)/.test(own)) return `visual.${own}`;
  if (adapter.type !== 'ladder' && adapter.type !== 'ladder_pruning') return undefined;
  const [, rung, within] = /^resblocks\.(\d+)\.(.+)$/.exec(own) ?? [];
  return within && `visual.transformer.resblocks.${adapter.blocks[Number(rung)]}.${within}`;
}
