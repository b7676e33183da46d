/** What differs between the models that can be trained. */
import type { Device } from '../engine/index.js';
import {
  Clip4StrModel,
  type Parameters,
  Parseq,
  type RecognizerConfiguration,
  type SingleBranchModel,
  StrAdapterModel,
} from '../model/index.js';
import type {
  StrAdapterRunConfiguration,
  TrainingConfiguration,
  Vl4StrConfiguration,
} from './configuration_schema.js';
import type { GroupingRules } from './parameter_groups.js';

export type TrainableModel = Clip4StrModel | SingleBranchModel;

export function readerOf(
  device: Device,
  parameters: Parameters,
  configuration: RecognizerConfiguration,
): TrainableModel {
  switch (configuration.family) {
    case 'clip4str':
      return new Clip4StrModel(device, parameters, configuration);
    case 'parseq':
      return new Parseq(device, parameters, configuration);
    case 'str_adapter':
      return new StrAdapterModel(device, parameters, configuration);
  }
}

export function groupingRules({ model }: TrainingConfiguration): GroupingRules {
  switch (model.name) {
    case 'vl4str': {
      const { image_freeze_nlayer: imageLayers, text_freeze_nlayer: textLayers } = model;
      return { model: 'vl4str', freezing: { imageLayers, textLayers } };
    }
    case 'parseq':
      return { model: 'parseq' };
    case 'str_adapter':
      return { model: 'str_adapter', adapter: model.adapter_type };
  }
}

export function isClip4Str(run: TrainingConfiguration): run is Vl4StrConfiguration {
  return run.model.name === 'vl4str';
}

export function isStrAdapter(run: TrainingConfiguration): run is StrAdapterRunConfiguration {
  return run.model.name === 'str_adapter';
}
