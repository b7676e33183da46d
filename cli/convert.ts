import { stat } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import {
  type ConfigurationOverrides,
  type Normalization,
  checkParameters,
  checkApplicable,
  inferConfiguration,
  normalizations,
  readingLimits,
  resolveCharset,
  storedConfiguration,
} from '../model/index.js';
import {
  CheckpointError,
  type ParameterSource,
  type WritableTensor,
  checkpointFiles,
  openParameters,
  writeSafetensors,
} from '../weights/index.js';
import { resolveCheckpoint } from './checkpoints.js';
import { EXIT_DONE, type ExitCode, UsageError } from './errors.js';
import { watchForInterruption } from './interruption.js';
import { blockNumbers, imageSize, presetOption, wholeNumber } from './options.js';
import { formatBytes, tell } from './output.js';
import { checkOutputFile } from './output_paths.js';
import { type Progress, showProgress } from './progress.js';

interface ConvertOptions {
  readonly precision: 'stored' | 'f32' | 'f16';
  readonly preset?: string;
  readonly charset?: string;
  readonly testCharset?: string;
  readonly imageSize?: readonly [number, number];
  readonly decoderHeads?: number;
  readonly encoderHeads?: number;
  readonly blockIds?: readonly number[];
  readonly refineIters?: number;
  readonly normalization?: Normalization;
  readonly quiet?: true;
}

const LARGEST_HALF = 65504;

const examples = `
Examples:
  clip4str-engine convert clip4str_base.ckpt base.safetensors
  clip4str-engine convert parseq parseq_half.safetensors --precision f16
  clip4str-engine convert bare.pt mine.safetensors --charset 36 --preset base

The result has the original's names and carries its configuration, so it loads without options.`;

/** What `convert` takes and does. */
export function defineConvert(command: Command): void {
  command
    .description('Convert a model file of any supported format to safetensors with canonical names.')
    .argument('<in>', 'model file, or a name that download lists')
    .argument('<out>', 'file to write, which must end in .safetensors')
    .addOption(
      new Option('--precision <type>', 'of matrices; stored: half stays half, all else becomes f32')
        .choices(['stored', 'f32', 'f16'])
        .default('stored'),
    )
    .addOption(presetOption())
    .option('--charset <36|62|94|characters>', 'characters that the model was trained with', resolveCharset)
    .option(
      '--test-charset <36|62|94|characters>',
      'characters that captions are brought into',
      resolveCharset,
    )
    .option('--image-size <height>x<width>', "of the model's images, in pixels", imageSize)
    .option('--encoder-heads <count>', "attention heads of PARSeq's encoder", wholeNumber(1, 1024))
    .option('--decoder-heads <count>', 'attention heads of the decoder', wholeNumber(1, 1024))
    .option('--block-ids <numbers>', "CLIP's blocks beside a ladder adapter's, as 0,4,8,11", blockNumbers)
    .option(
      '--refine-iters <count>',
      'passes over the whole text after the first',
      wholeNumber(0, readingLimits.refineIterations),
    )
    .addOption(new Option('--normalization <kind>', 'how pixels become numbers').choices(normalizations))
    .option('--quiet', 'no progress, no notes')
    .addHelpText('after', examples)
    .action(async (from: string, to: string, options: ConvertOptions) => {
      process.exitCode = await convert(from, to, options, watchForInterruption());
    });
}

async function convert(
  from: string,
  to: string,
  options: ConvertOptions,
  signal: AbortSignal,
): Promise<ExitCode> {
  // Another ending would promise a format that this command does not write.
  if (!/\.safetensors$/i.test(to)) {
    throw new UsageError(`convert: ${to} does not end in .safetensors, the format that is written.`);
  }
  const input = await resolveCheckpoint(from, options.quiet);
  await checkOutputFile('convert', to, await checkpointFiles(input));
  const source = await openParameters(input);
  const progress = showProgress('Converting', 'bytes', !options.quiet);
  try {
    const overrides = overridesOf(options);
    checkApplicable(source, overrides, optionNames);
    const configuration = inferConfiguration(source, overrides);
    checkParameters(source, configuration);
    const tensors = writableTensors(source, options.precision, signal, progress);
    await writeSafetensors(to, tensors, storedConfiguration(configuration, source.configuration));
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    progress.stop();
    await source.close();
  }
  if (!options.quiet) {
    tell(`${to}: ${source.parameters.size} tensors, ${formatBytes((await stat(to)).size)}`);
  }
  return EXIT_DONE;
}

function overridesOf(options: ConvertOptions): ConfigurationOverrides {
  const { preset, charset, testCharset, imageSize, encoderHeads, decoderHeads, normalization } = options;
  const { refineIters: refineIterations, blockIds: ladderBlocks } = options;
  return {
    preset,
    charset,
    testCharset,
    imageSize,
    encoderHeads,
    decoderHeads,
    ladderBlocks,
    normalization,
    refineIterations,
  };
}

const optionNames: Readonly<Partial<Record<keyof ConfigurationOverrides, string>>> = {
  preset: '--preset',
  charset: '--charset',
  testCharset: '--test-charset',
  imageSize: '--image-size',
  encoderHeads: '--encoder-heads',
  decoderHeads: '--decoder-heads',
  ladderBlocks: '--block-ids',
  normalization: '--normalization',
  refineIterations: '--refine-iters',
};

/** Tensors that are read one by one while they are written. Vectors stay f32: they are small and sum up. */
function writableTensors(
  source: ParameterSource,
  precision: ConvertOptions['precision'],
  signal: AbortSignal,
  progress: Progress,
): WritableTensor[] {
  const totalBytes = [...source.parameters.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  let doneBytes = 0;
  return [...source.parameters].map(([name, { shape, dtype, byteLength }]) => {
    const half = precision === 'stored' ? dtype === 'f16' : precision === 'f16' && shape.length >= 2;
    return {
      name,
      shape,
      dtype: half ? 'f16' : 'f32',
      async read() {
        signal.throwIfAborted();
        const values = await source.readF32(name);
        if (half) checkRange(source.name, name, values);
        doneBytes += byteLength;
        progress.update(doneBytes, totalBytes);
        return values;
      },
    };
  });
}

function checkRange(file: string, name: string, values: Float32Array): void {
  const beyond = values.find((value) => Math.abs(value) > LARGEST_HALF && Number.isFinite(value));
  if (beyond !== undefined) {
    throw new CheckpointError(
      file,
      `${name} holds ${beyond}, which half precision cannot (${LARGEST_HALF} at most). Use --precision f32.`,
    );
  }
}
