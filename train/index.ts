/** Training: the recipe of the original, and what a run needs. */
export { Accuracy, type SetResult, combinedResult, normalizedEditDistance } from './accuracy.js';
export { accuracyTable } from './accuracy_table.js';
export { configurationText, parseConfiguration, presetConfiguration } from './configuration.js';
export type {
  ParseqRunConfiguration,
  StrAdapterConfiguration,
  TrainingConfiguration,
  Vl4StrConfiguration,
} from './configuration_schema.js';
export { type FreezingRules, isFrozen } from './freezing.js';
export { type FilteredLabel, type LabelRules, labelFilter } from './label_filter.js';
export { type DecoderMasks, clozeMasks, permutationMasks } from './masks.js';
export { clip4strConfiguration, parseqConfiguration } from './model_configuration.js';
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
