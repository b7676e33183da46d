import { type Command, Option } from 'commander';
import type { Device } from '../engine/index.js';
import {
  Clip4Str,
  ClipRefiner,
  type Normalization,
  type Precision,
  type ReadOptions,
  normalizations,
  readingLimits,
  resolveCharset,
} from '../model/index.js';
import { checkpointFiles } from '../weights/index.js';
import { resolveCheckpoint } from './checkpoints.js';
import { EXIT_NOTHING, type ExitCode, UsageError, printable } from './errors.js';
import { formatNames } from './formats.js';
import { expandInputs } from './inputs.js';
import { watchForInterruption } from './interruption.js';
import { loadImages } from './load_images.js';
import {
  deviceOption,
  precisionOption,
  presetOption,
  requirePrecision,
  unitUse,
  wholeNumber,
  withDevice,
} from './options.js';
import { tell } from './output.js';
import { checkOutputFile, checkOutputFolder } from './output_paths.js';
import { PixelsFile } from './pixels_file.js';
import { showProgress } from './progress.js';
import { ReadingRun, type RunOptions, tellFault } from './reading_run.js';

interface ReadCommandOptions extends RunOptions {
  readonly checkpoint?: string;
  readonly preset?: string;
  readonly device?: string;
  readonly precision: Precision;
  readonly charset?: string;
  readonly refineIters?: number;
  readonly ar: boolean;
  readonly originalStopping?: true;
  readonly normalization?: Normalization;
  readonly clipRefine?: string;
  readonly pixels?: string;
  readonly verbose?: true;
}

const examples = `
Examples:
  clip4str-engine read word.jpg                              one image with the model that is included
  clip4str-engine read photos/ 'scans/**/*.png'              a folder, and a pattern
  curl -s https://example.org/word.jpg | clip4str-engine read -
  clip4str-engine read crops/ --checkpoint clip4str-base     a published model, downloaded the first time
  clip4str-engine read crops/ --checkpoint my.ckpt --format csv > readings.csv
  clip4str-engine read word.jpg --attention looked/          pictures of where each character looked

A reader of the output that closes it early (| head) ends the command, unless --logits or --attention are to be written.

Exit code: 0 all images were read, 1 none was, 2 some were.`;

/** What `read` takes and does. */
export function defineRead(command: Command, outputClosed: AbortSignal): void {
  command
    .description('Read the text in images of words: files, folders, patterns, or - for the standard input.')
    .argument('[images...]', 'image files (JPEG, PNG, WebP, GIF, TIFF, AVIF), folders, patterns, -')
    .option(
      '--checkpoint <file|name>',
      'model file, or a name that download lists (default: the model included)',
    )
    .addOption(presetOption())
    .addOption(deviceOption())
    .addOption(precisionOption())
    .option('--batch-size <images>', 'images computed together', wholeNumber(1, 4096), 16)
    .option(
      '--charset <36|62|94|characters>',
      'characters that texts are brought into, captions of the cross-modal branch too, so that readings can change; ' +
        'the rows of characters stay as read (default: all)',
      charset,
    )
    .option(
      '--refine-iters <count>',
      "passes over the whole text after the first (default: the model's)",
      wholeNumber(0, readingLimits.refineIterations),
    )
    .option('--no-ar', 'read all characters at once instead of one after another')
    .option(
      '--original-stopping',
      'let a batch stop together, as the original does: readings depend on batch mates',
    )
    .addOption(
      new Option('--normalization <kind>', "how pixels become numbers (default: the model's)").choices(
        normalizations,
      ),
    )
    .option(
      '--clip-refine <file|name>',
      "plain CLIP model that chooses among likely texts; texts come in --charset, else in the model's test charset",
    )
    .addOption(new Option('--format <format>', 'of the output').choices(formatNames).default('text'))
    .option(
      '--pixels <file>',
      'read tensor images [n,3,height,width] of a safetensors file, already normalised',
    )
    .option('--logits <file>', 'write the logits of all positions to a safetensors file')
    .option('--attention <folder>', 'write a picture an image of where each character looked')
    .option('--verbose', 'name model and device also when not on a terminal')
    .option('--quiet', 'no progress, no notes; only readings and errors')
    .addHelpText('after', examples)
    .action(async (inputs: string[], options: ReadCommandOptions) => {
      const interrupted = watchForInterruption();
      // Files that were asked for are finished even when nobody reads the rows any more.
      const writesFiles = options.logits !== undefined || options.attention !== undefined;
      const signal = writesFiles ? interrupted : AbortSignal.any([outputClosed, interrupted]);
      process.exitCode = await read(inputs, options, signal);
    });
}

function charset(text: string): string {
  resolveCharset(text);
  return text;
}

async function read(
  inputs: readonly string[],
  options: ReadCommandOptions,
  signal: AbortSignal,
): Promise<ExitCode> {
  if (options.pixels !== undefined && inputs.length > 0)
    throw new UsageError('give either images or --pixels, not both.');
  if (options.pixels === undefined && inputs.length === 0) {
    throw new UsageError('no images given: name files, folders, patterns, or - for the standard input.');
  }
  if (options.pixels !== undefined && options.normalization !== undefined) {
    throw new UsageError('--normalization is for image files; --pixels are normalised already.');
  }
  if (options.pixels !== undefined && options.attention !== undefined) {
    throw new UsageError('--attention needs image files; --pixels has none.');
  }
  if (inputs.filter((input) => input === '-').length > 1) {
    throw new UsageError('- is given more than once; the standard input holds one image.');
  }
  const { images, faults } = await expandInputs(inputs);
  faults.forEach(tellFault);
  if (options.pixels === undefined && images.length === 0) return EXIT_NOTHING;
  const checkpoint = await resolveCheckpoint(options.checkpoint, options.quiet);
  const clip =
    options.clipRefine === undefined ? undefined : await resolveCheckpoint(options.clipRefine, options.quiet);
  const paths = images.flatMap(({ path }) => path ?? []);
  if (options.logits !== undefined) {
    const tensors = [checkpoint, clip, options.pixels].flatMap((path) => path ?? []);
    const others = await Promise.all(tensors.map(checkpointFiles));
    await checkOutputFile('--logits', options.logits, [...paths, ...others.flat()]);
  }
  if (options.attention !== undefined) await checkOutputFolder('--attention', options.attention, paths);
  const pixels = options.pixels === undefined ? undefined : await PixelsFile.open(options.pixels);
  try {
    return await withDevice(options.device, unitUse(options.precision, 'forward'), async (device) => {
      requirePrecision(device, options.precision);
      const reader = await load(device, checkpoint, options, signal);
      pixels?.checkSize(reader.imageSize);
      const clipRefiner = clip && (await ClipRefiner.load(device, clip, { precision: options.precision }));
      if (clipRefiner) pixels?.checkSize(clipRefiner.imageSize, 'the CLIP of --clip-refine');
      const run = new ReadingRun(reader, options, faults.length, signal);
      return run.all(pixels?.images() ?? loadImages(images), pixels?.count ?? images.length, {
        ...readOptionsOf(options),
        ...(clipRefiner ? { clipRefiner } : {}),
      });
    });
  } finally {
    await pixels?.close();
  }
}

async function load(
  device: Device,
  checkpoint: string,
  { preset, precision, quiet, verbose }: ReadCommandOptions,
  signal: AbortSignal,
): Promise<Clip4Str> {
  const progress = showProgress('Loading', 'bytes', !quiet);
  try {
    const reader = await Clip4Str.load(device, checkpoint, {
      preset,
      precision,
      onProgress: (done, total) => {
        signal.throwIfAborted();
        progress.update(done, total);
      },
    });
    performance.mark('model loaded');
    progress.stop();
    if (!quiet && (verbose || process.stderr.isTTY)) {
      tell(`${reader.checkpointName} on ${printable(device.adapter.name)}, ${precision}`);
    }
    return reader;
  } finally {
    progress.stop();
  }
}

function readOptionsOf(options: ReadCommandOptions): ReadOptions {
  return {
    batchSize: options.batchSize,
    refineIterations: options.refineIters,
    autoregressive: options.ar ? undefined : false,
    originalStopping: options.originalStopping,
    charset: options.charset,
    normalization: options.normalization,
    logits: options.logits !== undefined,
    attention: options.attention !== undefined,
  };
}
