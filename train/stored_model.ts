/** The weights that a run begins or goes on with. */
import { type RecognizerConfiguration, expectedParameters } from '../model/index.js';
import { CheckpointError, type ParameterSource, openParameters } from '../weights/index.js';
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
    for (const [name, shape] of expectedParameters(reader)) {
      const stored = source.parameters.get(name)?.shape;
      if (stored?.join() === shape.join()) continue;
      throw new CheckpointError(
        source.name,
        `has ${stored ? `${name} as [${stored.join(',')}]` : `no ${name}`}; by the options of the run it is ` +
          `[${shape.join(',')}]. A run goes on with a model of the sizes it began with: leave those options as they were`,
      );
    }
    return source;
  } catch (error) {
    await source.close();
    throw error;
  }
}
