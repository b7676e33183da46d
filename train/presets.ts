/** The presets' files, `train/presets/*.yaml`. */
import { readFileSync } from 'node:fs';

/** Presets that a run can start from. */
export const trainingPresetNames = [
  'base',
  'base32',
  'large',
  'huge',
  'tiny',
  'parseq',
  'parseq-tiny',
  'str-adapter',
] as const;

export type TrainingPresetName = (typeof trainingPresetNames)[number];

export function isTrainingPreset(name: unknown): name is TrainingPresetName {
  return trainingPresetNames.some((preset) => preset === name);
}

/** The YAML of a preset, or of `common`, which all of them extend. */
export function presetText(name: TrainingPresetName | 'common'): string {
  return readFileSync(new URL(`./presets/${name}.yaml`, import.meta.url), 'utf8');
}
