import type { Device } from '../engine/index.js';
import type { ParameterSource } from '../weights/index.js';
import { checkChoice, checkFunction } from './arguments.js';
import { Clip } from './clip.js';
import { Clip4StrModel } from './clip4str.js';
import type { ModelConfiguration } from './configuration.js';
import { type ConfigurationOverrides, inferConfiguration } from './infer_configuration.js';
import { checkOverrides } from './overrides.js';
import { checkParameters } from './parameter_check.js';
import { Parameters, type Precision, precisions } from './parameters.js';
import { Parseq } from './parseq.js';
import { StrAdapterModel } from './str_adapter.js';

export interface LoadOptions extends ConfigurationOverrides {
  /** How matrices are stored on the device. Default f32. */
  readonly precision?: Precision | undefined;
  /** Told of the bytes uploaded so far and in all. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

/** Every model of this project. */
export type Model = Clip4StrModel | Parseq | StrAdapterModel | Clip;

/**
 * Puts a checkpoint's model on a device.
 * @param reads whether it is for reading alone, and not trained: projections are turned, and what reading takes is compiled while
 *   the weights are uploaded
 * @throws Error that lists missing, unexpected and mis-shaped parameters, or says what the file does not tell
 */
export async function loadModel(
  device: Device,
  source: ParameterSource,
  options: LoadOptions = {},
  reads = false,
): Promise<Model> {
  checkChoice('precision', options.precision, precisions);
  checkFunction('onProgress', options.onProgress);
  checkOverrides(source, options);
  const configuration = inferConfiguration(source, options);
  checkParameters(source, configuration);
  const parameters = Parameters.allocate(device, source, options.precision ?? 'f32', {
    turned: reads,
  });
  const model = modelOf(device, parameters, configuration);
  try {
    const compiling = reads && !(model instanceof Clip) ? model.compile() : undefined;
    // Where both fail, the weights' failure is told.
    compiling?.catch(() => {});
    await parameters.upload(device, source, options.onProgress);
    await compiling;
  } catch (error) {
    parameters.dispose();
    throw error;
  }
  return model;
}

function modelOf(device: Device, parameters: Parameters, configuration: ModelConfiguration): Model {
  switch (configuration.family) {
    case 'clip4str':
      return new Clip4StrModel(device, parameters, configuration);
    case 'parseq':
      return new Parseq(device, parameters, configuration);
    case 'str_adapter':
      return new StrAdapterModel(device, parameters, configuration);
    case 'clip':
      return new Clip(device, parameters, configuration);
  }
}
