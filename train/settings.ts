/** `key=value` settings that change single options of a configuration. */
import { parse } from 'yaml';
import { type ModelName, optionSchemas, runSchemas } from './configuration_schema.js';
import { nearestOption } from './nearest_option.js';
import { type Values, isValues } from './values.js';

/**
 * The values with one option set.
 *
 * @param setting as `model.lr=1e-4`: a dotted name and a value, which is read as the option's type asks
 * @throws Error if there is no such option, naming the nearest, or if it cannot have the value
 */
export function applySetting(values: Values, model: ModelName, setting: string): Values {
  const equals = setting.indexOf('=');
  if (equals < 1) throw new Error(`--set ${setting}: expected <option>=<value>, as model.lr=1e-4.`);
  const option = setting.slice(0, equals);
  const text = setting.slice(equals + 1);
  const options = optionSchemas(runSchemas[model]);
  const schema = options.get(option);
  if (schema === undefined) {
    throw new Error(
      `--set ${setting}: ${option} is no option of ${model}; did you mean ${nearestOption(option, options.keys())}?`,
    );
  }
  const candidates = candidatesOf(text);
  const valid = candidates.find((value) => schema.safeParse(value).success);
  if (valid === undefined) {
    const { error } = schema.safeParse(candidates[0]);
    throw new Error(`--set ${setting}: expected ${error!.issues[0]!.message}.`);
  }
  return withValue(values, option.split('.'), valid);
}

/** What a text may mean: a number, a truth value, null or a list as YAML writes them; else itself. */
function candidatesOf(text: string): unknown[] {
  try {
    const value: unknown = parse(text, { logLevel: 'error' });
    if (typeof value !== 'string' && text.trim() !== '') return [value, text];
  } catch {
    // No YAML: a text like any other.
  }
  return [text];
}

function withValue(values: Values, [key, ...rest]: string[], value: unknown): Values {
  if (rest.length === 0) return { ...values, [key!]: value };
  const inner = values[key!];
  return { ...values, [key!]: withValue(isValues(inner) ? inner : {}, rest, value) };
}
