/** The weights that a run begins or goes on with. */
import { type RecognizerConfiguration, expectedParameters } from '../model/index.js';
import { type ParameterSource, openParameters, requireParameters } from '../weights/index.js';
import type { TrainingConfiguration } from './configuration_schema.js';
import { startingWeights } from './starting_weights.js';

/**
 * Opens the model of a checkpoint, or what the configuration starts from. The caller closes it.
 * @param path of the checkpoint's model, if there is one
 * @throws CheckpointError if it has other sizes than the model that is trained
 */
export async function openModelWeights(
  configuration: TrainingConfiguration,
  reader: RecognizerConfiguration,
  path: string | undefined,
): Promise<ParameterSource> {
  if (path === undefined) return startingWeights(configuration, reader);
  const source = await openParameters(path);
  try {
    const advice =
      'By its options the run has other sizes; it goes on with those it began with: leave the options as they were';
    requireParameters(source, expectedParameters(reader), advice);
    return source;
  } catch (error) {
    await source.close();
    throw error;
  }
}
