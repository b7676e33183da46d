/** What is said of files that lack a tensor which tells a size: no more and no less than what is wrong with them. */
import { describe, expect, test } from '@jest/globals';
import { expectedParameters } from '../model/expected_parameters.js';
import { likelyDifferences } from '../model/likely_shapes.js';
import { presetNames, presetOf } from '../model/presets.js';
import { fixtureAdapterShapes } from './support/fixture_models.js';

type Source = Parameters<typeof likelyDifferences>[0];

const sources: readonly (readonly [string, Source])[] = [
  ...presetNames.map((name): [string, Source] => {
    const preset = presetOf(name);
    const parameters = new Map([...expectedParameters(preset)].map(([own, shape]) => [own, { shape }]));
    return [name, { name, family: preset.family, parameters }];
  }),
  ...(['identity', 'linear', 'attention', 'ladder', 'linear_ladder', 'ladder_pruning'] as const).map(
    (type): [string, Source] => [type, fixtureAdapterShapes(type)],
  ),
];

describe.each(sources)('%s', (_, source) => {
  test('has no differences as it is', () => {
    expect(likelyDifferences(source)).toEqual({ missing: [], unexpected: [], misshaped: [] });
  });

  test('lacks the one tensor that is missing, and no other is blamed', () => {
    const names = [...source.parameters.keys()];
    // All outside of layers, which tell most sizes, and some within.
    const chosen = names.filter((name, index) => !/\d+\./.test(name) || index % 29 === 0);
    for (const missing of chosen) {
      const parameters = new Map([...source.parameters].filter(([name]) => name !== missing));
      const found = likelyDifferences({ ...source, parameters });
      expect(found).toEqual({ missing: [missing], unexpected: [], misshaped: [] });
    }
  });
});
