import type { AdapterConfiguration, ModelConfiguration } from './configuration.js';
import { type FamilyParameters, layerCount } from './parameter_shapes.js';
import { namedAdapterType } from './infer_adapter.js';
import { presetOf } from './presets.js';

/** A published model of the family with the file's counts of layers, so that its parameters have the file's names. */
export function configurationOfLayers(source: FamilyParameters): ModelConfiguration {
  const layers = (start: string): number => Math.max(1, layerCount(source, start));
  if (source.family === 'parseq') {
    const { image, decoder, ...rest } = presetOf('parseq') as Extract<
      ModelConfiguration,
      { family: 'parseq' }
    >;
    return {
      ...rest,
      image: { ...image, layers: layers('encoder.blocks.') },
      decoder: { ...decoder, layers: layers('decoder.layers.') },
    };
  }
  const base = presetOf('base') as Extract<ModelConfiguration, { family: 'clip4str' }>;
  const clip = source.family === 'clip' ? '' : 'clip_model.';
  const towers = {
    image: { ...base.image, layers: layers(`${clip}visual.transformer.resblocks.`) },
    text: { ...base.text, layers: layers(`${clip}transformer.resblocks.`) },
  };
  if (source.family === 'clip') return { family: 'clip', ...towers, embedWidth: base.embedWidth };
  if (source.family === 'str_adapter') {
    const { visualDecoder, ...rest } = base;
    return {
      ...rest,
      ...towers,
      family: 'str_adapter',
      adapter: adapterOfNames(source, layers('adapter.resblocks.')),
      decoder: { ...visualDecoder, layers: layers('decoder.layers.') },
    };
  }
  return {
    ...base,
    ...towers,
    visualDecoder: { ...base.visualDecoder, layers: layers('visual_decoder.layers.') },
    crossDecoder: { ...base.crossDecoder, layers: layers('cross_decoder.layers.') },
  };
}

/** An adapter of the type that the names tell, of whatever size. */
function adapterOfNames({ parameters }: FamilyParameters, rungs: number): AdapterConfiguration {
  const names = [...parameters.keys()];
  const type = namedAdapterType((prefix) => names.some((name) => name.startsWith(prefix)));
  const size = 1;
  const blocks = Array.from({ length: rungs }, (_, block) => block);
  switch (type) {
    case 'identity':
      return { type };
    case 'linear':
      return { type, hiddenWidth: size };
    case 'attention':
      return { type, heads: size, mlpWidth: size };
    case 'linear_ladder':
      return { type, blocks, hiddenWidth: size };
    case 'ladder':
      return { type, blocks, attentionWidth: size, mlpWidth: size };
  }
}
