/** What differs between the models that can be trained. */
import type { Device } from '../engine/index.js';
import {
  Clip4StrModel,
  type Clip4StrConfiguration,
  type Parameters,
  Parseq,
  type ParseqConfiguration,
  type SingleBranchModel,
} from '../model/index.js';
import type { ParseqRunConfiguration, Vl4StrConfiguration } from './configuration_schema.js';
import { clip4strConfiguration, parseqConfiguration } from './model_configuration.js';
import type { GroupingRules } from './parameter_groups.js';

/** Runs of models that read by themselves. */
export type TrainableConfiguration = Vl4StrConfiguration | ParseqRunConfiguration;
export type TrainableModel = Clip4StrModel | SingleBranchModel;

export function readerConfiguration(
  run: TrainableConfiguration,
): Clip4StrConfiguration | ParseqConfiguration {
  return isClip4Str(run) ? clip4strConfiguration(run) : parseqConfiguration(run);
}

export function readerOf(
  device: Device,
  parameters: Parameters,
  configuration: Clip4StrConfiguration | ParseqConfiguration,
): TrainableModel {
  return configuration.family === 'clip4str'
    ? new Clip4StrModel(device, parameters, configuration)
    : new Parseq(device, parameters, configuration);
}

export function groupingRules(run: TrainableConfiguration): GroupingRules {
  if (!isClip4Str(run)) return { model: 'parseq' };
  const { image_freeze_nlayer: imageLayers, text_freeze_nlayer: textLayers } = run.model;
  return { model: 'vl4str', freezing: { imageLayers, textLayers } };
}

export function isClip4Str(run: TrainableConfiguration): run is Vl4StrConfiguration {
  return run.model.name === 'vl4str';
}
