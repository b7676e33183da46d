import type { Command } from 'commander';
import {
  type ModelConfiguration,
  checkVocabulary,
  inferConfiguration,
  modelDifferences,
} from '../model/index.js';
import {
  type Checkpoint,
  type ParameterDifferences,
  type ParameterSource,
  openCheckpoint,
  parametersOf,
} from '../weights/index.js';
import { resolveCheckpoint } from './checkpoints.js';
import { EXIT_DONE, EXIT_NOTHING, describeError, printable } from './errors.js';
import { presetOption } from './options.js';
import { formatBytes, formatTable, print } from './output.js';

interface InspectOptions {
  readonly preset?: string;
  readonly json?: true;
}

/** Characters shown of a stored value; `--json` has all. */
const LONGEST_VALUE = 200;

const examples = `
Examples:
  clip4str-engine inspect model.ckpt
  clip4str-engine inspect parseq --json                 a downloaded model, for other programs
  clip4str-engine inspect bare.pt --preset base         what the file does not tell comes from a preset

Exit code: 0 the file holds a model that can be used, 1 it does not.`;

/** What a checkpoint holds. */
export interface Inspection {
  readonly file: string;
  readonly format: Checkpoint['format'];
  readonly family: ParameterSource['family'] | null;
  readonly convention: ParameterSource['convention'] | null;
  /** Numbers in all tensors that are parameters. */
  readonly parameters: number;
  /** As stored. */
  readonly bytes: number;
  readonly configuration: ModelConfiguration | null;
  /** Hyper-parameters stored in the file. */
  readonly stored: Readonly<Record<string, unknown>>;
  /** Why the file cannot be used as it is; empty where it can. */
  readonly problems: readonly string[];
  readonly differences: ParameterDifferences | null;
  /** By canonical name; by stored name where the family is unknown. */
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly bytes: number;
  }[];
  /** Stored tensors that are no parameters. */
  readonly ignored: readonly string[];
}

/** What `inspect` takes and does. */
export function defineInspect(command: Command): void {
  command
    .description(
      'Show what a model file holds: format, model, configuration, tensors, and what is wrong with it.',
    )
    .argument('[file]', 'model file, or a name that download lists (default: the model included)')
    .addOption(presetOption())
    .option('--json', 'as JSON')
    .addHelpText('after', examples)
    .action(async (file: string | undefined, { preset, json }: InspectOptions) => {
      const found = await inspectFile(await resolveCheckpoint(file), preset);
      await print(json ? `${JSON.stringify(found, null, 2)}\n` : inspectionText(found));
      process.exitCode = isUsable(found) ? EXIT_DONE : EXIT_NOTHING;
    });
}

/** Whether the file can be used as it is. */
function isUsable({ problems, differences }: Inspection): boolean {
  const { missing = [], unexpected = [], misshaped = [] } = differences ?? {};
  return [problems, missing, unexpected, misshaped].every((list) => list.length === 0);
}

/** @throws CheckpointError for a file that is no checkpoint */
export async function inspectFile(path: string, preset: string | undefined): Promise<Inspection> {
  const checkpoint = await openCheckpoint(path);
  let source: ParameterSource | undefined;
  let configuration: ModelConfiguration | undefined;
  const problems: string[] = [];
  try {
    source = await parametersOf(checkpoint);
    configuration = inferConfiguration(source, { preset });
    const { family } = configuration;
    if (family === 'clip4str' || family === 'clip') checkVocabulary(source.name, configuration.text);
  } catch (error) {
    problems.push(describeError(error));
  }
  await checkpoint.close();
  const tensors = [...(source?.parameters ?? checkpoint.tensors)].map(
    ([name, { dtype, shape, byteLength }]) => ({ name, dtype, shape, bytes: byteLength }),
  );
  return {
    file: checkpoint.name,
    format: checkpoint.format,
    family: source?.family ?? null,
    convention: source?.convention ?? null,
    parameters: tensors.reduce(
      (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
      0,
    ),
    bytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
    configuration: configuration ?? null,
    stored: checkpoint.configuration,
    problems,
    differences: source && configuration ? modelDifferences(source, configuration) : null,
    tensors,
    ignored: source?.ignored ?? [],
  };
}

function inspectionText(found: Inspection): string {
  const shapeText = (shape: readonly number[]): string => `[${shape.join(',')}]`;
  const { missing = [], unexpected = [], misshaped = [] } = found.differences ?? {};
  const list = (title: string, lines: readonly string[]): string =>
    lines.length === 0 ? '' : `\n${title}:\n${lines.map((line) => `  ${printable(line)}\n`).join('')}`;
  const facts = formatTable([
    ['file', printable(found.file)],
    ['format', found.format],
    ['model', found.family ?? 'unknown'],
    ['names', found.convention ?? 'unknown'],
    ['parameters', `${found.parameters.toLocaleString('en')} in ${found.tensors.length} tensors`],
    ['bytes', `${found.bytes.toLocaleString('en')} (${formatBytes(found.bytes)})`],
  ]);
  const tensors = formatTable(
    found.tensors.map(({ name, dtype, shape, bytes }) => [
      `  ${printable(name)}`,
      dtype,
      shapeText(shape),
      formatBytes(bytes),
    ]),
    [3],
  );
  return (
    facts +
    list('problems', found.problems) +
    (found.configuration ? list('configuration', settings(found.configuration)) : '') +
    list('stored hyper-parameters', settings(found.stored)) +
    list('missing', missing) +
    list('unexpected', unexpected) +
    list(
      'of another shape',
      misshaped.map(
        ({ name, shape, expected, misfit }) =>
          `${name} ${misfit === undefined ? `is ${shapeText(shape)}` : `cannot be made: ${misfit}`}, expected ${shapeText(expected)}`,
      ),
    ) +
    list('ignored, no parameters', found.ignored) +
    `\ntensors:\n${tensors}`
  );
}

/** `name: value` lines; parts of a part are named with a dot. */
function settings(values: object, prefix = ''): string[] {
  return Object.entries(values).flatMap(([name, value]: [string, unknown]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? settings(value, `${prefix}${name}.`)
      : [
          `${prefix}${name}: ${(typeof value === 'string' ? value : (JSON.stringify(value) ?? 'none')).slice(0, LONGEST_VALUE)}`,
        ],
  );
}
