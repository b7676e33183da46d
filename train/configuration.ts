/** The configuration of a training run: a preset or a file, with single options set over it, checked as a whole. */
import { parse, stringify } from 'yaml';
import { brokenRule } from './configuration_rules.js';
import {
  type ModelName,
  type TrainingConfiguration,
  optionSchemas,
  runSchemas,
} from './configuration_schema.js';
import { nearestOption } from './nearest_option.js';
import { isTrainingPreset, presetText, trainingPresetNames } from './presets.js';
import { applySetting } from './settings.js';
import { type Values, isValues, mergeValues } from './values.js';

/** Longest configuration file that is read, in characters. */
const longestText = 100_000;

/**
 * A preset's configuration. Where `pretrained` is set, its options of training from scratch are off unless they are set too.
 *
 * @param settings as `model.lr=1e-4`, later ones over earlier ones
 * @throws Error in one line if there is no such preset or a setting is wrong
 */
export function presetConfiguration(name: string, settings: readonly string[] = []): TrainingConfiguration {
  const source = `preset ${name}`;
  return checked({ preset: presetValues(name, source), own: {} }, source, settings);
}

/**
 * The configuration that a YAML file gives: all options, or those that differ from the preset it names as `extends`.
 *
 * @param source its name, for messages
 * @param settings as for {@link presetConfiguration}
 * @throws Error in one line if it is no YAML, or an option is unknown, missing or wrong
 */
export function parseConfiguration(
  text: string,
  source: string,
  settings: readonly string[] = [],
): TrainingConfiguration {
  return checked(layersOf(text, source), source, settings);
}

/** The configuration as YAML that {@link parseConfiguration} reads back: what a run saves beside its results. */
export function configurationText(configuration: TrainingConfiguration): string {
  return stringify(configuration);
}

/** What a file says, and what the preset that it extends says below it. */
interface Layers {
  readonly preset: Values;
  readonly own: Values;
}

function presetValues(name: unknown, source: string): Values {
  if (!isTrainingPreset(name)) {
    throw new Error(`${source}: no such preset; expected one of ${trainingPresetNames.join(', ')}.`);
  }
  const { preset, own } = layersOf(presetText(name), source);
  return mergeValues(preset, own);
}

function layersOf(text: string, source: string): Layers {
  const { extends: extended, ...own } = parsedValues(text, source);
  if (extended === undefined) return { preset: {}, own };
  // Only presets extend `common`; it cannot be trained by itself.
  if (extended === 'common') return { preset: parsedValues(presetText('common'), 'common'), own };
  return { preset: presetValues(extended, `${source}: extends ${shown(extended)}`), own };
}

/** Options of training from scratch, and what switches them off. */
const fromScratch = { visual_first_pct: 0, cross_from_visual: false, muon_lr: null } as const;

/** Learning rate of a trained model in place of one that was meant for training from scratch, beside Muon's. */
const furtherLearningRate = 1e-4;

/** A preset's options of training from scratch are not meant for a model that is trained further, unless they are given. */
function forFineTuning(preset: Values, given: Values): Values {
  const model = preset['model'];
  if (!isValues(model)) return preset;
  const off = Object.entries(fromScratch).filter(([option]) => option in model);
  const muon = isValues(given['model']) ? given['model']['muon_lr'] : undefined;
  const leavesMuon = typeof model['muon_lr'] === 'number' && typeof muon !== 'number';
  const rate = leavesMuon ? { lr: furtherLearningRate } : {};
  return { ...preset, model: { ...model, ...Object.fromEntries(off), ...rate } };
}

function parsedValues(text: string, source: string): Values {
  if (text.length > longestText) {
    throw new Error(`${source}: ${text.length} characters; a configuration has at most ${longestText}.`);
  }
  let values: unknown;
  try {
    values = parse(text, { logLevel: 'error' });
  } catch (error) {
    const [reason] = String(error instanceof Error ? error.message : error).split('\n');
    throw new Error(`${source}: no YAML. ${reason}`, { cause: error });
  }
  if (!isValues(values)) throw new Error(`${source}: expected options as YAML, such as "extends: base".`);
  return values;
}

function checked(
  { preset, own }: Layers,
  source: string,
  settings: readonly string[],
): TrainingConfiguration {
  const name = modelName(mergeValues(preset, own), source);
  const given = settings.reduce((changed, setting) => applySetting(changed, name, setting), own);
  const below = (given['pretrained'] ?? null) === null ? preset : forFineTuning(preset, given);
  const set = mergeValues(below, given);
  const result = runSchemas[name].safeParse(set);
  if (!result.success) throw new Error(`${source}: ${issueText(result.error.issues[0]!, set, name)}`);
  const broken = brokenRule(result.data);
  if (broken !== undefined) {
    throw new Error(`${source}: ${found(set, broken.option)}; expected ${broken.expected}.`);
  }
  return result.data;
}

function modelName(values: Values, source: string): ModelName {
  const name = isValues(values['model']) ? values['model']['name'] : undefined;
  const known = Object.keys(runSchemas).find((model) => model === name);
  if (known !== undefined) return known as ModelName;
  throw new Error(
    `${source}: model.name is ${shown(name)}; expected ${Object.keys(runSchemas).join(', ')}, ` +
      'or "extends: <preset>" at the top.',
  );
}

type Issue = {
  readonly code?: string | undefined;
  readonly path: readonly PropertyKey[];
  readonly message: string;
};

function issueText(
  issue: Issue & { readonly keys?: readonly string[] },
  values: Values,
  model: ModelName,
): string {
  if (issue.code === 'unrecognized_keys') {
    const option = [...issue.path, issue.keys![0]!].join('.');
    const options = optionSchemas(runSchemas[model]);
    return `${option} is no option of ${model}; did you mean ${nearestOption(option, options.keys())}?`;
  }
  return `${found(values, issue.path.join('.'))}; expected ${issue.message}.`;
}

/** What an option is, in words. */
function found(values: Values, option: string): string {
  let value: unknown = values;
  for (const key of option.split('.')) value = (value as Record<string, unknown> | undefined)?.[key];
  return value === undefined ? `${option} is missing` : `${option} is ${shown(value)}`;
}

function shown(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value).slice(0, 100);
}
