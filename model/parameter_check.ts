/** Whether a file holds all parameters of its configuration's model. */
import {
  CheckpointError,
  type ParameterDifferences,
  differencesText,
  parameterDifferences,
} from '../weights/index.js';
import type { ModelConfiguration } from './configuration.js';
import { expectedParameters } from './expected_parameters.js';
import { likelyDifferences } from './likely_shapes.js';
import type { FamilyParameters } from './parameter_shapes.js';

/**
 * How a file differs from the model of the configuration that was inferred from it. Each size was read from one tensor;
 * where that one is wrong, all others that follow from the size seem to be. So the file is also held against the sizes
 * that most tensors say, and the account that blames fewer of them is given.
 */
export function modelDifferences(
  source: FamilyParameters,
  configuration: ModelConfiguration,
): ParameterDifferences {
  const differences = parameterDifferences(source, expectedParameters(configuration));
  if (differences.misshaped.length === 0) return differences;
  const { misshaped } = likelyDifferences(source);
  const blamesFewer = misshaped.length > 0 && misshaped.length < differences.misshaped.length;
  return blamesFewer ? { ...differences, misshaped } : differences;
}

/** @throws CheckpointError that lists missing, unexpected and mis-shaped parameters together */
export function checkParameters(source: FamilyParameters, configuration: ModelConfiguration): void {
  const problems = differencesText(modelDifferences(source, configuration));
  if (problems !== '') throw new CheckpointError(source.name, `does not fit the model: ${problems}`);
}
