import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { Clip4Str, type Precision, resolveCharset } from '../model/index.js';
import { accuracyTable } from '../train/accuracy_table.js';
import { combinedResult } from '../train/accuracy.js';
import { findDataSets, openDataSets } from '../train/data/index.js';
import { type SetEvaluation, evaluateSet } from '../train/evaluate.js';
import { evaluationPage } from '../train/evaluation_page.js';
import { labelFilter } from '../train/label_filter.js';
import { writeWholeFile } from '../weights/index.js';
import { resolveCheckpoint } from './checkpoints.js';
import { EXIT_DONE, EXIT_NOTHING, EXIT_PARTLY, type ExitCode, UsageError, printable } from './errors.js';
import { Interruption, liftDeadlines, orInterrupted, watchForInterruption } from './interruption.js';
import {
  deviceOption,
  htmlFile,
  precisionOption,
  presetOption,
  requirePrecision,
  unitUse,
  wholeNumber,
  withDevice,
} from './options.js';
import { formatTable, print, tell } from './output.js';
import { checkOutputFile } from './output_paths.js';
import { showProgress } from './progress.js';
import { tellFault } from './reading_run.js';

interface EvalCommandOptions {
  readonly data: string;
  readonly checkpoint?: string;
  readonly preset?: string;
  readonly device?: string;
  readonly sets?: string[];
  readonly charset: string;
  readonly batchSize: number;
  readonly refineIters?: number;
  readonly precision: Precision;
  readonly originalStopping?: true;
  readonly format: 'text' | 'markdown' | 'json';
  readonly errors?: true;
  readonly html?: string;
  readonly quiet?: true;
}

/** Wrong readings that a page shows of each set, so that it stays a page. */
const SHOWN_WRONG = 500;

const examples = `
Examples:
  clip4str-engine eval --data str_dataset                         all sets below str_dataset/test
  clip4str-engine eval --data str_dataset --sets IIIT5k,SVT --checkpoint runs/words/best.safetensors
  clip4str-engine eval --data my_words/ --charset 94 --errors     what was read wrong
  clip4str-engine eval --data str_dataset --format json > results.json
  clip4str-engine eval --data str_dataset --html results.html

Labels are compared as the original compares them: white space removed, characters outside the charset dropped, words
without any left out. Accuracy and 1 - NED (ICDAR 2019) are percentages.

Exit code: 0 done, 1 nothing was read, 2 some images could not be read.`;

/** What `eval` takes and does. */
export function defineEval(command: Command): void {
  command
    .description('Read labelled data sets and tell how many words were right: the tables of the original.')
    .requiredOption('--data <folder>', 'root with the sets below test/, or a folder or list of words')
    .option(
      '--checkpoint <file|name>',
      'model file, or a name that download lists (default: the model included)',
    )
    .addOption(presetOption())
    .addOption(deviceOption())
    .addOption(precisionOption())
    .option('--sets <names>', 'sets below test/, separated by commas (default: all)', names)
    .option('--charset <36|62|94|characters>', 'characters that words are compared in', charset, '36')
    .option('--batch-size <images>', 'images computed together', wholeNumber(1, 4096), 32)
    .option(
      '--refine-iters <count>',
      "passes over the whole text after the first (default: the model's)",
      wholeNumber(0, 32),
    )
    .option('--original-stopping', 'let a batch stop together, as the original does')
    .addOption(
      new Option('--format <format>', 'of the results').choices(['text', 'markdown', 'json']).default('text'),
    )
    .option('--errors', 'list what was read wrong')
    .option('--html <file>', 'write a page with the results and what was read wrong', htmlFile)
    .option('--quiet', 'no progress, no notes')
    .addHelpText('after', examples)
    .action(async (options: EvalCommandOptions) => {
      process.exitCode = await evaluate(options, watchForInterruption());
    });
}

function names(text: string): string[] {
  const given = text.split(',').map((name) => name.trim());
  const wanted = given.filter((name) => name !== '');
  if (wanted.length === 0) throw new InvalidArgumentError('Expected names of sets, as IIIT5k,SVT.');
  return wanted;
}

function charset(text: string): string {
  resolveCharset(text);
  return text;
}

async function evaluate(options: EvalCommandOptions, signal: AbortSignal): Promise<ExitCode> {
  if (options.html !== undefined) await checkOutputFile('--html', options.html, [options.data]);
  const roots = await setRoots(options.data, options.sets);
  const checkpoint = await resolveCheckpoint(options.checkpoint, options.quiet);
  return withDevice(options.device, unitUse(options.precision, 'forward'), async (device) => {
    requirePrecision(device, options.precision);
    const reader = await Clip4Str.load(device, checkpoint, {
      preset: options.preset,
      precision: options.precision,
    });
    const evaluations: SetEvaluation[] = [];
    let interruption: Interruption | undefined;
    for (const { name, roots: own } of roots) {
      try {
        evaluations.push(await evaluateOne(reader, name, own, options, signal));
      } catch (error) {
        if (!(error instanceof Interruption) || evaluations.length === 0) throw error;
        interruption = error;
        break;
      }
    }
    liftDeadlines();
    const results = evaluations.map(({ result }) => result);
    const combined = combinedResult(results);
    const wrong = evaluations.flatMap(({ result, wrong: own }) =>
      own.map(({ source, label, text, confidence }) => ({
        set: result.name,
        source,
        label,
        text,
        confidence,
      })),
    );
    if (options.format === 'json') {
      const found = {
        checkpoint: reader.checkpointName,
        charset: options.charset,
        sets: results,
        combined,
        ...(options.errors ? { errors: wrong } : {}),
      };
      await print(`${JSON.stringify(found, null, 2)}\n`);
    } else {
      await print(options.format === 'markdown' ? `${accuracyTable(results)}\n` : resultText(results));
      if (options.errors) await print(errorText(wrong));
    }
    if (options.html !== undefined) {
      const title = `${reader.checkpointName}, ${options.charset} characters`;
      const page = await evaluationPage(title, evaluations);
      await writeWholeFile(options.html, (file) => file.writeFile(page));
      if (!options.quiet) tell(`${printable(options.html)} shows the results.`);
    }
    // The sets that were finished are told all the same.
    if (interruption) throw interruption;
    if (combined.samples === 0) return EXIT_NOTHING;
    return evaluations.some(({ unreadable }) => unreadable.length > 0) ? EXIT_PARTLY : EXIT_DONE;
  });
}

/** Which sets are read: those below `test/`, where the root has it, else all of the root as one. */
async function setRoots(
  data: string,
  wanted: readonly string[] | undefined,
): Promise<{ name: string; roots: string[] }[]> {
  const test = join(data, 'test');
  const hasTest = await stat(test).then(
    (status) => status.isDirectory(),
    () => false,
  );
  if (!hasTest && wanted === undefined) return [{ name: 'words', roots: [data] }];
  const root = hasTest ? test : data;
  const found = new Map<string, string[]>();
  for (const { name, path } of await findDataSets(root)) {
    const set = name.split('/')[0]!;
    found.set(set, [...(found.get(set) ?? []), path]);
  }
  for (const name of wanted ?? []) {
    if (!found.has(name)) {
      throw new UsageError(
        `--sets ${printable(name)}: not below ${printable(root)}, which has ${[...found.keys()].join(', ')}.`,
      );
    }
  }
  return [...new Set(wanted ?? found.keys())].map((name) => ({ name, roots: found.get(name)! }));
}

async function evaluateOne(
  reader: Clip4Str,
  name: string,
  roots: readonly string[],
  options: EvalCommandOptions,
  signal: AbortSignal,
): Promise<SetEvaluation> {
  const filter = labelFilter({
    charset: options.charset,
    maxLabelLength: reader.maxLabelLength,
    removeWhitespace: true,
    normalizeUnicode: true,
  });
  const set = await openDataSets(roots, { filter, signal });
  const progress = showProgress(printable(name), 'images', !options.quiet);
  try {
    const work = evaluateSet(reader, set, {
      charset: options.charset,
      batchSize: options.batchSize,
      refineIterations: options.refineIters,
      originalStopping: options.originalStopping,
      keepWrong: options.errors ? Infinity : SHOWN_WRONG,
      keepImages: options.html === undefined ? 0 : SHOWN_WRONG,
      onProgress: (done) => progress.update(done, set.length),
      signal,
    });
    const evaluation = await orInterrupted(work, signal);
    progress.stop();
    for (const { source, reason } of evaluation.unreadable) tellFault({ name: source, reason });
    return { ...evaluation, result: { ...evaluation.result, name } };
  } finally {
    progress.stop();
    await set.close();
  }
}

function resultText(results: readonly SetEvaluation['result'][]): string {
  const rows = [...results, combinedResult(results)].map(
    ({ name, samples, accuracy, ned, confidence, labelLength }) => [
      printable(name),
      String(samples),
      ...[accuracy, ned, confidence, labelLength].map((value) => value.toFixed(2)),
    ],
  );
  const head = ['set', 'samples', 'accuracy', '1 - NED', 'confidence', 'length'];
  return formatTable([head, ...rows], [1, 2, 3, 4, 5]);
}

function errorText(
  wrong: readonly { set: string; source: string; label: string; text: string; confidence: number }[],
): string {
  const rows = wrong.map(({ source, label, text, confidence }) =>
    [source, label, text, confidence.toFixed(3)].map(printable),
  );
  return `\n${formatTable([['image', 'label', 'read', 'confidence'], ...rows], [3])}`;
}
