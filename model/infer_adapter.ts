import {
  type AdapterConfiguration,
  type AdapterType,
  type ImageEncoderConfiguration,
  type LadderConfiguration,
  adapterTypes,
} from './configuration.js';
import type { HyperParameters } from './hyper_parameters.js';
import { checkedHeads, untold } from './infer_parts.js';
import type { ParameterShapes } from './parameter_shapes.js';

/**
 * The adapter of a checkpoint, from its names and shapes. Which of CLIP's blocks a ladder stands beside they do not tell.
 *
 * @param heads of the decoder; the original gives an attention adapter as many
 * @param ladderBlocks what a user settles
 */
export function inferAdapter(
  shapes: ParameterShapes,
  stored: HyperParameters,
  image: ImageEncoderConfiguration,
  heads: number,
  ladderBlocks: readonly number[] | undefined,
): AdapterConfiguration {
  const own = shapes.under('adapter.');
  const type = adapterTypeOf(shapes, image.width);
  checkStoredType(shapes, stored, type);
  switch (type) {
    case 'identity':
      return { type };
    case 'linear':
      return { type, hiddenWidth: own.matrix('fc.0.weight')[0] };
    case 'attention':
      return { type, heads, mlpWidth: own.matrix('attn.mlp.c_fc.weight')[0] };
    case 'ladder':
    case 'linear_ladder':
    case 'ladder_pruning': {
      const blocks = ladderBlocks ?? stored.integers('block_ids', 0) ?? untold(shapes, 'block_ids');
      checkBlocks(own, blocks, image.layers);
      return { blocks, ...inferRungs(own, type, image) };
    }
  }
}

/** What all blocks of a ladder are like, from the first. */
function inferRungs(
  own: ParameterShapes,
  type: LadderConfiguration['type'],
  image: ImageEncoderConfiguration,
) {
  if (type === 'linear_ladder') return { type, hiddenWidth: own.matrix('resblocks.0.fc.0.weight')[0] };
  const attentionWidth = attentionWidthOf(own);
  checkedHeads(own, attentionWidth, image.heads);
  return { type, attentionWidth, mlpWidth: own.matrix('resblocks.0.mlp.c_fc.weight')[0] };
}

/**
 * The type that names and shapes are of. A ladder pruned by a factor of 1 is a plain ladder.
 * @param width of CLIP's blocks
 */
function adapterTypeOf(shapes: ParameterShapes, width: number): AdapterType {
  const named = namedAdapterType((prefix) => shapes.has(prefix));
  if (named !== 'ladder') return named;
  return attentionWidthOf(shapes.under('adapter.')) === width ? 'ladder' : 'ladder_pruning';
}

/** The type that a model's parameters are named for; those of a pruned ladder have the names of a plain one. */
export function namedAdapterType(has: (prefix: string) => boolean): Exclude<AdapterType, 'ladder_pruning'> {
  if (has('adapter.fc.')) return 'linear';
  if (has('adapter.attn.')) return 'attention';
  if (has('adapter.resblocks.0.fc.')) return 'linear_ladder';
  return has('adapter.') ? 'ladder' : 'identity';
}

/** Of the first block of a ladder. */
function attentionWidthOf(own: ParameterShapes): number {
  return own.matrix('resblocks.0.attn.out_proj.weight')[1];
}

function checkStoredType(shapes: ParameterShapes, stored: HyperParameters, found: AdapterType): void {
  const recorded = stored.text('adapter_type');
  // The original takes any other text for identity.
  const known = adapterTypes.find((type) => type === recorded);
  if (known === undefined || known === found) return;
  if (known === 'ladder_pruning' && found === 'ladder') return;
  shapes.fail(`hyper-parameter adapter_type is ${known}; the file's parameters are those of type ${found}.`);
}

function checkBlocks(own: ParameterShapes, blocks: readonly number[], layers: number): void {
  const count = own.layers('resblocks');
  const beyond = blocks.find((block) => block >= layers);
  if (blocks.length === count && beyond === undefined) return;
  own.fail(
    `block_ids is [${blocks.join(', ')}]; expected ${count} numbers below ${layers}, one for each block of the ` +
      "ladder out of CLIP's.",
  );
}
