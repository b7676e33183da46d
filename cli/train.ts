import { existsSync } from 'node:fs';
import { readFile, readdir, realpath, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import {
  FolderInUseError,
  RunFolder,
  type TrainingConfiguration,
  changedFixedOption,
  findRunData,
  isRunFile,
  parseConfiguration,
  presetConfiguration,
  train,
  trainingPresetNames,
} from '../train/index.js';
import { ProgressLine } from '../train/logs/index.js';
import { checkpointFiles } from '../weights/index.js';
import { resolveCheckpoint } from './checkpoints.js';
import { droppedTable, reportTable } from './dataset_report.js';
import { EXIT_DONE, type ExitCode, UsageError, fileReason, printable } from './errors.js';
import { watchForInterruption } from './interruption.js';
import { deviceOption, openTunedDevice } from './options.js';
import { tell } from './output.js';
import { RunLogs, configurationFile, metricsFile } from './run_logs.js';
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
The output folder gets config.yaml, checkpoints step-*.safetensors and best.safetensors (where there is validation data,
once all branches train; read by clip4str-engine read --checkpoint), metrics.jsonl, events for TensorBoard, and
report.html. Ctrl-C saves and ends, a second one ends without saving. One process at a time trains in a folder: run.lock in it names that process; the lock
of one that was killed does not bind. With pretrained set, what --preset tiny does from scratch is off (model.muon_lr,
.visual_first_pct, .cross_from_visual; model.lr is 1e-4 then), unless it is set too.
With --resume, --data and --set change options of the run, all but those of the model itself, what it began with (pretrained,
seed), and the images of a step where the run ends by epochs; they are stored once the run has opened with them. A
checkpoint that is damaged is kept under another name, and the run goes on from the one before.`;

/** What `train` takes and does. */
export function defineTrain(command: Command): void {
  command
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
  const { output } = options;
  const configuration = await configurationOf(options);
  const folder = await takeFolder(output);
  try {
    if (!options.resume) {
      await refuseAnotherRun(folder);
      await refuseInputs(folder, configuration, options.config);
    }
    return await trainIn(folder, configuration, options, signal);
  } finally {
    await folder.close();
  }
}

async function trainIn(
  folder: RunFolder,
  configuration: TrainingConfiguration,
  { output, quiet, json, device, resume }: TrainOptions,
  signal: AbortSignal,
): Promise<ExitCode> {
  const { source, validation, reports, validationReports, notes } = await findRunData(configuration, signal);
  if (!quiet) {
    for (const note of notes) tell(printable(note));
    for (const each of [reports, validationReports]) {
      if (each.length > 0) tell(`${reportTable(each)}${droppedTable(each)}`.trimEnd());
    }
    if (validation.length === 0)
      tell('no validation data in val/ below the root of the data: nothing is validated.');
    const tellOnce = (): void =>
      tell(
        'saving after this step; interrupt again to end at once, which loses what came after the last checkpoint.',
      );
    signal.addEventListener('abort', tellOnce, { once: true });
  }
  const { reason } = await train({
    configuration,
    folder,
    source,
    validation,
    observers: [
      new ProgressLine({ quiet: quiet === true }),
      ...(json ? [trainingJson()] : []),
      new RunLogs(output, configuration, resume === true),
    ],
    openDevice: () => openTunedDevice(device, configuration.trainer.precision === 16 ? 'all' : 'nothing'),
    signal,
  });
  if (reason === 'stopped' && !quiet)
    tell(`saved; go on with: clip4str-engine train --resume --output ${output}`);
  signal.throwIfAborted();
  return EXIT_DONE;
}

/** @throws UsageError where the folder cannot be made, or another process trains in it */
async function takeFolder(path: string): Promise<RunFolder> {
  const onWait = (holder: string, seconds: number): void =>
    tell(printable(`${path} is held by ${holder}: watching for ${seconds} s whether that is still alive.`));
  return RunFolder.open(path, { onWait }).catch((error: unknown) => {
    if (error instanceof FolderInUseError) throw new UsageError(`--output: ${error.message}`);
    const isFile = (error as NodeJS.ErrnoException).code === 'EEXIST';
    throw new UsageError(`--output: ${path}: ${isFile ? 'is a file, not a folder' : fileReason(error)}.`);
  });
}

/** @throws UsageError where the folder holds what a run has measured or saved */
async function refuseAnotherRun({ path, checkpoints }: RunFolder): Promise<void> {
  const measured = (await stat(join(path, metricsFile)).catch(() => undefined))?.size ?? 0;
  const results = ['best.safetensors', 'averaged.safetensors'];
  const hasResult = results.some((name) => existsSync(join(path, name)));
  if (measured === 0 && !hasResult && (await checkpoints.steps()).length === 0) return;
  throw new UsageError(`--output: ${path} holds a run already. Go on with --resume, or name another folder.`);
}

/** @throws UsageError where a file that is read lies where the run will write one */
async function refuseInputs(
  { path }: RunFolder,
  { model, pretrained }: TrainingConfiguration,
  config: string | undefined,
): Promise<void> {
  const models = [pretrained, 'clip_pretrained' in model ? model.clip_pretrained : null];
  const files = await Promise.all(models.flatMap((input) => input ?? []).map(checkpointFiles));
  const inputs = [...files.flat(), ...(config === undefined ? [] : [config])];
  const read = new Set(await Promise.all(inputs.map((input) => realpath(input))));
  for (const name of await readdir(path)) {
    // Links are written through.
    if (!isRunFile(name) || !read.has(await realpath(join(path, name)).catch(() => ''))) continue;
    throw new UsageError(
      `--output: ${path}: its ${name}, which is read, would be written over. Give another folder.`,
    );
  }
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
    return withDataPaths(await resumedConfiguration(await readFile(stored, 'utf8'), stored, settings));
  }
  if ((preset === undefined) === (config === undefined)) {
    throw new UsageError('name what to train: either --preset or --config.');
  }
  const configuration =
    config === undefined
      ? presetConfiguration(preset!, settings)
      : parseConfiguration(await textOf(config), config, settings);
  return withModelPaths(withDataPaths(configuration), options.quiet);
}

/** @throws UsageError where an option is to change that must stay as it was */
async function resumedConfiguration(
  text: string,
  path: string,
  settings: readonly string[],
): Promise<TrainingConfiguration> {
  const stored = parseConfiguration(text, path);
  const given = parseConfiguration(text, path, settings);
  const different = changedFixedOption(stored, given);
  if (different === undefined) return given;
  // A stored path is a whole one; the same file may be named in another way.
  const resolved = different.stored === 'null' ? given : await withModelPaths(given, true).catch(() => given);
  const changed = changedFixedOption(stored, resolved);
  if (changed === undefined) return resolved;
  throw new UsageError(
    `--resume: ${changed.option} is ${changed.stored} in ${path}, and ${changed.given} was given. A run goes on with what ` +
      'it began with: leave the option out, or begin another run in another folder.',
  );
}

async function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    throw new UsageError(`--config: ${path}: ${fileReason(error)}.`);
  });
}

/** The configuration with paths to data that hold wherever the run is resumed. */
function withDataPaths(configuration: TrainingConfiguration): TrainingConfiguration {
  const { data } = configuration;
  const { fonts, words, backgrounds } = data.synthetic;
  const orNone = (path: string | null): string | null => (path === null ? null : resolve(path));
  const synthetic = {
    ...data.synthetic,
    fonts: [fonts].flat().map((path) => resolve(path)),
    words: [words].flat().map((path) => resolve(path)),
    backgrounds: orNone(backgrounds),
  };
  return { ...configuration, data: { ...data, root_dir: orNone(data.root_dir), synthetic } };
}

/** The configuration with paths to models, and published ones downloaded. */
async function withModelPaths(
  configuration: TrainingConfiguration,
  quiet: boolean | undefined,
): Promise<TrainingConfiguration> {
  const { model } = configuration;
  const file = async (path: string | null): Promise<string | null> =>
    path === null ? null : resolve(await resolveCheckpoint(path, quiet));
  const clip = 'clip_pretrained' in model ? { clip_pretrained: await file(model.clip_pretrained) } : {};
  return {
    ...configuration,
    model: { ...model, ...clip },
    pretrained: await file(configuration.pretrained),
  } as TrainingConfiguration;
}
