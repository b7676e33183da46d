import type { Clip4StrConfiguration, ParseqConfiguration } from './configuration.js';
import { expectedParameters } from './expected_parameters.js';
import type { ShapedParameters } from './parameter_shapes.js';
import { presetNames, presetOf, presets } from './presets.js';

type Preset = Clip4StrConfiguration | ParseqConfiguration;

/**
 * The preset that stands in for what a checkpoint does not tell: the one that was asked for, else the one with the
 * checkpoint's shapes, else none.
 *
 * @throws Error if the one asked for has other shapes than the checkpoint, naming one that has them.
 */
export function presetFor(source: ShapedParameters, requested: string | undefined): Preset | undefined {
  const fitting = presetNames.find((name) => firstMismatch(source, presets[name]) === undefined);
  if (requested === undefined) return fitting === undefined ? undefined : presets[fitting];
  const preset = presetOf(requested);
  const mismatch = firstMismatch(source, preset);
  if (mismatch === undefined) return preset;
  const { name, found, expected } = mismatch;
  const advice = fitting === undefined ? 'Leave --preset out.' : `Try --preset ${fitting}.`;
  throw new Error(
    `${source.name}: ${name} is ${found}; preset ${requested} expects [${expected.join(',')}]. ${advice}`,
  );
}

/** Parameters whose shapes follow from the charset and the longest label, which a preset does not settle. */
const variable = /(?:^|\.)(?:pos_queries|text_embed\.embedding\.weight|head\.weight|head\.bias)$/;

function firstMismatch(
  source: ShapedParameters,
  preset: Preset,
): { name: string; found: string; expected: readonly number[] } | undefined {
  for (const [name, expected] of expectedParameters(preset)) {
    if (variable.test(name)) continue;
    const shape = source.parameters.get(name)?.shape;
    if (shape?.join() === expected.join()) continue;
    return { name, found: shape === undefined ? 'missing' : `[${shape.join(',')}]`, expected };
  }
  return undefined;
}
