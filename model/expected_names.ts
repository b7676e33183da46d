import { differencesText } from '../weights/index.js';
import type { ModelConfiguration } from './configuration.js';
import { expectedParameters } from './expected_parameters.js';
import type { ShapedParameters } from './parameter_shapes.js';
import { presetOf } from './presets.js';

type FamilyParameters = ShapedParameters & { readonly family: ModelConfiguration['family'] };

/**
 * The names that a file lacks and those that its family does not have, in one line. For files whose configuration
 * cannot be inferred: names depend on the counts of layers alone, which are taken to be as many as the file has.
 */
export function nameDifferencesText(source: FamilyParameters): string {
  const expected = expectedParameters(configurationOfLayers(source));
  return differencesText({
    missing: [...expected.keys()].filter((name) => !source.parameters.has(name)),
    unexpected: [...source.parameters.keys()].filter((name) => !expected.has(name)),
    misshaped: [],
  });
}

/** A published model of the family with the file's counts of layers. */
function configurationOfLayers(source: FamilyParameters): ModelConfiguration {
  const layers = (start: string): number => {
    const numbers = new Set<string>();
    for (const name of source.parameters.keys()) {
      if (name.startsWith(start)) numbers.add(name.slice(start.length).split('.', 1)[0]!);
    }
    return Math.max(1, numbers.size);
  };
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
  return {
    ...base,
    ...towers,
    visualDecoder: { ...base.visualDecoder, layers: layers('visual_decoder.layers.') },
    crossDecoder: { ...base.crossDecoder, layers: layers('cross_decoder.layers.') },
  };
}
