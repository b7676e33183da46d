import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { openDevice } from '../engine/index.js';
import {
  Checkpoints,
  type TrainingConfiguration,
  type TrainingObserver,
  configurationText,
  findRunData,
  parseConfiguration,
  presetConfiguration,
  train,
  trainingPresetNames,
} from '../train/index.js';
import {
  MetricsFile,
  ProgressLine,
  TensorBoardLog,
  TrainingHistory,
  TrainingReport,
} from '../train/logs/index.js';
import { writeWholeFile } from '../weights/index.js';
import { resolveCheckpoint } from './checkpoints.js';
import { droppedTable, reportTable } from './dataset_report.js';
import { EXIT_DONE, type ExitCode, UsageError, fileReason, printable } from './errors.js';
import { watchForInterruption } from './interruption.js';
import { deviceOption, deviceOptions } from './options.js';
import { tell } from './output.js';
import { trainingJson } from './training_json.js';

interface TrainOptions {
  readonly preset?: string;
  readonly config?: string;
  readonly data?: string;
  readonly set: readonly string[];
  readonly output: string;
  readonly resume?: true;
  readonly device?: string;
  readonly quiet?: true;
  readonly json?: true;
}

const examples = `
Examples:
  clip4str-engine train --preset tiny --data words/            the model included, from scratch
  clip4str-engine train --preset base --data words/ --set pretrained=clip4str-base --set model.lr=1e-5
  clip4str-engine train --config mine.yaml --output runs/mine  a file that says "extends: base" and more
  clip4str-engine train --resume --output runs/mine            go on after an interruption
  clip4str-engine train --preset tiny --set data.synthetic.count=500000 --set data.synthetic.words=brands.txt

Training data is looked for in train/<data.train_dir>, validation data in val, below the root of the data. With
data.synthetic.count so many words are rendered beside them as the run goes on, or alone where there is no --data
(data.synthetic.fonts, .words, .words_share, .backgrounds, .seed: see "synth --help").
The output folder gets config.yaml, checkpoints step-*.safetensors and best.safetensors (read by clip4str-engine read
--checkpoint), metrics.jsonl, events for TensorBoard, and report.html. Ctrl-C saves and ends.`;

const configurationFile = 'config.yaml';

/** Adds `train`. */
export function addTrain(program: Command): void {
  program
    .command('train')
    .summary('train a model, or train one further')
    .description('Train CLIP4STR or PARSeq on images of words, from scratch, from CLIP or from a model.')
    .addOption(new Option('--preset <name>', 'recipe to train by').choices(trainingPresetNames))
    .option('--config <file>', 'YAML file with the options of the run')
    .option('--data <folder>', 'root of the data: data.root_dir')
    .option(
      '--set <option=value>',
      'one option of the recipe, as model.lr=1e-4; may be given again',
      added,
      [],
    )
    .option('--output <folder>', 'where checkpoints and the configuration go', 'run')
    .option('--resume', 'go on from the last checkpoint in the output folder, with its configuration')
    .addOption(deviceOption())
    .option('--json', 'every event as a line of JSON on the standard output')
    .option('--quiet', 'only errors')
    .addHelpText('after', examples)
    .action(async (options: TrainOptions) => {
      // A step may take long, and the checkpoint is written after it.
      process.exitCode = await runTraining(options, watchForInterruption(Infinity));
    });
}

function added(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

async function runTraining(options: TrainOptions, signal: AbortSignal): Promise<ExitCode> {
  const { output, quiet, json } = options;
  const configuration = await configurationOf(options);
  const { source, validation, reports, notes } = await findRunData(configuration, signal);
  for (const note of notes) tell(printable(note));
  if (!quiet) tell(`${reportTable(reports)}${droppedTable(reports)}`.trimEnd());
  if (!quiet && validation.length === 0) tell('no val/ below the root of the data: nothing is validated.');
  await mkdir(output, { recursive: true }).catch((error: unknown) => {
    throw new UsageError(`--output: ${output}: ${fileReason(error)}.`);
  });
  await writeWholeFile(join(output, configurationFile), async (file) => {
    await file.writeFile(configurationText(configuration));
  });
  const { reason } = await train({
    configuration,
    folder: output,
    source,
    validation,
    observers: [
      new ProgressLine({ quiet: quiet === true }),
      ...(json ? [trainingJson()] : []),
      ...(await openLogs(output, configuration, options.resume === true)),
    ],
    openDevice: () => openDevice(deviceOptions(options.device)),
    signal,
  });
  if (reason === 'stopped' && !quiet)
    tell(`saved; go on with: clip4str-engine train --resume --output ${output}`);
  signal.throwIfAborted();
  return EXIT_DONE;
}

/** Metrics, TensorBoard's events and the report, going on after the last checkpoint of a run that is resumed. */
async function openLogs(
  output: string,
  configuration: TrainingConfiguration,
  resume: boolean,
): Promise<readonly TrainingObserver[]> {
  const text = configurationText(configuration);
  const stored = await (await Checkpoints.open(output)).steps();
  const resumed = resume ? { resumedFrom: Math.max(0, ...stored.map(({ step }) => step)) } : {};
  const metricsPath = join(output, 'metrics.jsonl');
  const metrics = await MetricsFile.open(metricsPath, resumed);
  const history =
    resumed.resumedFrom === undefined
      ? {}
      : { history: await TrainingHistory.read(metricsPath, resumed.resumedFrom) };
  const title = `Training in ${basename(resolve(output))}`;
  return [
    metrics,
    await TensorBoardLog.open(join(output, 'tensorboard'), { configuration: text, ...resumed }),
    new TrainingReport(join(output, 'report.html'), { title, configuration: text, ...history }),
  ];
}

/** @throws UsageError for options that contradict one another or the output folder; Error for a wrong configuration */
async function configurationOf(options: TrainOptions): Promise<TrainingConfiguration> {
  const { preset, config, output, resume } = options;
  const stored = join(output, configurationFile);
  const settings = [
    ...(options.data === undefined ? [] : [`data.root_dir=${resolve(options.data)}`]),
    ...options.set,
  ];
  if (resume) {
    if (preset !== undefined || config !== undefined) {
      throw new UsageError('--resume takes the configuration of the run; change single options with --set.');
    }
    if (!existsSync(stored)) throw new UsageError(`--resume: ${output} holds no run: there is no ${stored}.`);
    return parseConfiguration(await readFile(stored, 'utf8'), stored, settings);
  }
  if ((preset === undefined) === (config === undefined)) {
    throw new UsageError('name what to train: either --preset or --config.');
  }
  if (existsSync(output) && (await (await Checkpoints.open(output)).steps()).length > 0) {
    throw new UsageError(
      `--output: ${output} holds a run already. Go on with --resume, or name another folder.`,
    );
  }
  const configuration =
    config === undefined
      ? presetConfiguration(preset!, settings)
      : parseConfiguration(await textOf(config), config, settings);
  return withPaths(configuration, options.quiet);
}

async function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    throw new UsageError(`--config: ${path}: ${fileReason(error)}.`);
  });
}

/** The configuration with paths that hold wherever the run is resumed, and published models downloaded. */
async function withPaths(
  configuration: TrainingConfiguration,
  quiet: boolean | undefined,
): Promise<TrainingConfiguration> {
  const { data, model } = configuration;
  const file = async (path: string | null): Promise<string | null> =>
    path === null ? null : resolve(await resolveCheckpoint(path, quiet));
  const root = data.root_dir === null ? null : resolve(data.root_dir);
  const { fonts, words, backgrounds } = data.synthetic;
  const synthetic = {
    ...data.synthetic,
    fonts: [fonts].flat().map((path) => resolve(path)),
    words: [words].flat().map((path) => resolve(path)),
    backgrounds: backgrounds === null ? null : resolve(backgrounds),
  };
  const clip = 'clip_pretrained' in model ? { clip_pretrained: await file(model.clip_pretrained) } : {};
  return {
    ...configuration,
    data: { ...data, root_dir: root, synthetic },
    model: { ...model, ...clip },
    pretrained: await file(configuration.pretrained),
  } as TrainingConfiguration;
}
