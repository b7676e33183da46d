/** Training: the recipe of the original, and what a run needs. */
export { Accuracy, type SetResult, combinedResult, normalizedEditDistance } from './accuracy.js';
export { accuracyTable } from './accuracy_table.js';
export { configurationText, parseConfiguration, presetConfiguration } from './configuration.js';
export { Checkpoints } from './checkpoints.js';
export type {
  ParseqRunConfiguration,
  StrAdapterRunConfiguration,
  TrainingConfiguration,
  Vl4StrConfiguration,
} from './configuration_schema.js';
export { type FreezingRules, isFrozen } from './freezing.js';
export { type FilteredLabel, type LabelRules, labelFilter } from './label_filter.js';
export { type DecoderMasks, clozeMasks, permutationMasks } from './masks.js';
export {
  clip4strConfiguration,
  parseqConfiguration,
  strAdapterConfiguration,
} from './model_configuration.js';
export {
  type LearningRateScaling,
  type OneCycle,
  type StepSize,
  learningRateScale,
  oneCycleLearningRate,
} from './one_cycle.js';
export {
  type GroupingRules,
  type OptimizerRates,
  type ParameterGroup,
  parameterGroups,
} from './parameter_groups.js';
export { type PermutationOptions, drawPermutations } from './permutations.js';
export { type TrainingPresetName, trainingPresetNames } from './presets.js';
export { type TargetIds, type TrainingTargets, targetsOfPermutation, trainingTargets } from './targets.js';
export type {
  CheckpointEvent,
  EndEvent,
  StartEvent,
  StepEvent,
  TrainingObserver,
  ValidationEvent,
  ValidationSample,
} from './events.js';
export { initialWeights } from './initial_weights.js';
export { FolderInUseError } from './folder_lock.js';
export { type RunData, findRunData } from './run_data.js';
export { type ChangedOption, changedFixedOption } from './resumed_configuration.js';
export { RunFolder, isRunFile } from './run_folder.js';
export { type TrainingOptions, train } from './trainer.js';
export type { ValidationSet } from './validation.js';
