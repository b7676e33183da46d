import { fileURLToPath } from 'node:url';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type ModelName, modelNames, usualModels } from '../bench/kernels/shapes.js';
import { defaultPython } from '../bench/peers/torch_process.js';
import { precisions, presetNames } from '../model/index.js';
import { trainingPresetNames } from '../train/presets.js';
import type { BenchOptions } from './bench_options.js';
import { type ExitCode, UsageError } from './errors.js';
import { deviceOption, htmlFile, presetOption, wholeNumber } from './options.js';

type RunMode = (options: BenchOptions) => Promise<ExitCode>;

/** What each mode does: one file a mode, of which the one that is given is loaded. */
const modes = {
  kernels: async () => (await import('./bench_kernels.js')).runKernelBench,
  model: async () => (await import('./bench_model.js')).runModelBench,
  training: async () => (await import('./bench_training.js')).runTrainingBench,
  scaling: async () => (await import('./bench_scaling.js')).runScalingBench,
  reference: async () => (await import('./bench_reference.js')).runReferenceBench,
} as const satisfies Partial<Record<keyof BenchOptions, () => Promise<RunMode>>>;

const modeNames = Object.keys(modes) as (keyof typeof modes)[];

/** Options that not every mode has. */
const optionsOf: Readonly<Record<keyof typeof modes, readonly (keyof BenchOptions)[]>> = {
  kernels: ['models', 'batches', 'filter', 'peers', 'installPeers', 'torch', 'compare', 'html', 'tune'],
  model: ['checkpoint', 'preset', 'untrained', 'batches', 'peers', 'installPeers', 'torch'],
  training: ['batches', 'torch'],
  scaling: [],
  reference: ['checkpoint', 'preset', 'batchSize', 'tolerance', 'check'],
};

/** Path of the script that writes references. */
const exportScript = fileURLToPath(new URL('../bench/reference/export.py', import.meta.url));

const examples = `
Modes, of which one is given:
  --kernels     time, speed and error of every kernel at the sizes that the models give it, in every variant
  --model       reading: images a second, the time of each stage, memory, dispatches, submits and read-backs; and how long
                a whole read takes to its first text
  --training    training steps of a preset on rendered words: time, wait for data, memory, dispatches and submits
  --scaling     how the cost of transformer blocks grows with batch, tokens, width and depth, and where it jumps
  --reference   what every stage of reading computes, against tensors of the original PyTorch code

Examples:
  clip4str-engine bench --kernels --models tiny                  what this device does, in a few minutes
  clip4str-engine bench --kernels --models square --filter 768   products of square matrices
  clip4str-engine bench --kernels --filter "base matmul f32"     rows that have all of these words
  clip4str-engine bench --kernels --batches 1,8,32,128 --json > before.json
  clip4str-engine bench --kernels --compare before.json --html kernels.html
  clip4str-engine bench --kernels --models base --filter attention --install-peers
  clip4str-engine bench --kernels --tune --models base --batches 1,32 --filter matmul
  clip4str-engine bench --model --batches 1,16 --precision f16
  clip4str-engine bench --model --untrained large --precision f16 --batches 1   # nothing to download
  clip4str-engine bench --model --untrained base --batches 1 --peers            # CLIP's B/16 beside ONNX Runtime
  clip4str-engine bench --training tiny --batches 32,96
  clip4str-engine bench --scaling --json > scaling.json
  clip4str-engine bench --kernels --models base --torch          beside PyTorch, of the Python python3
  clip4str-engine bench --model --checkpoint clip4str-base --batches 1,256 --torch venv/bin/python
  clip4str-engine bench --training base --batches 32 --torch venv/bin/python
  clip4str-engine bench --reference reference.safetensors --checkpoint clip4str_base.ckpt
  clip4str-engine bench --reference reference.safetensors --checkpoint clip4str-base --precision f16 --check
  clip4str-engine bench --reference reference.safetensors --json > comparison.json
  python ${exportScript} \\
    --repository CLIP4STR --checkpoint clip4str_base.ckpt --images words/ --output reference.safetensors

The last writes a reference with the original's own code (https://github.com/VamosC/CLIP4STR, or baudm/parseq).

Rows of --kernels with f16 have all operands in it, but what models multiply by weights in f16 is f32; int8 is weights of products in
reading, and what makes them. GB/s and "of peak" count our bytes; others take products in f16
alone. ONNX Runtime multiplies f32 by weights in int8 as this engine does; its faster way on a CPU rounds both, and is not taken.

Of a row of --kernels: ms is the middle one of up to eleven samples, which the variants take in turns; spread is how far the
middle half of them lies apart; "of peak" is the share of the multiply-adds or the bytes a second that this device was seen
to reach in the same run, whichever is nearer; error is the largest difference from double precision over the largest
result, over a few hundred results; ratio is the time over that of the fastest variant. Work that occurs at several places
is done once. Of dropout by others, whose random numbers are not ours, the scale of what they keep is compared.

--tune keeps, for each kind of work measured, the variant that is the fastest where that is 5 % faster than the one expected
to be, in a file in the folder for caches; kinds that are not measured keep what they have. Sizes are told apart to the
nearest power of two. Results may then differ in their last digits from those without it.

--torch needs Python 3.8 or later with PyTorch 2.0 or later (pip install torch), and computes by CUDA or ROCm where it has
them. f32 is f32 there, not TF32; f16 is weights in f16 for reading, mixed precision for training. With --model and --training it
is CLIP4STR with the same weights, computed as the original code does, which keeps no keys and values between characters.

Exit code: 0 done, 1 wrong usage, nothing measured or compared, or --check found an error past the tolerance.`;

/** What `bench` takes and does. */
export function defineBench(command: Command): void {
  command
    .description('Measure this device and this program: one mode at a time.')
    .option('--kernels', 'time every kernel')
    .option('--model', 'time reading with a model')
    .addOption(
      new Option('--training <preset>', 'time training steps of a preset').choices(trainingPresetNames),
    )
    .option('--scaling', 'time transformer blocks as they grow')
    .option('--reference <file>', 'compare with the tensors of a safetensors file that export.py wrote')
    .addOption(deviceOption())
    .addOption(
      new Option(
        '--precision <type>',
        "how floats are stored on the device (default: with --kernels all, with --training the preset's, else f32)",
      ).choices(precisions),
    )
    .option(
      '--batches <images>',
      'images at once, separated by commas (default: 8; with --model 1,8,32)',
      batches,
    )
    .option(
      '--torch [python]',
      `let PyTorch do the same work, in turns: the Python that has it (default: ${defaultPython}); not with --reference and --scaling`,
    )
    .option(
      '--peers',
      'let ONNX Runtime, TensorFlow.js and jax-js do the same work, in turns with this engine; with --model ONNX Runtime ' +
        'the image encoder; with no other mode',
    )
    .option('--install-peers', 'first install them from npm into the folder for caches')
    .option('--json', 'as JSON')
    .option('--quiet', 'no progress, no notes')
    .optionsGroup('Options of --kernels:')
    .option(
      '--models <names>',
      `whose sizes, separated by commas: ${usualModels.join()} (the default), square`,
      models,
    )
    .option('--filter <words>', 'rows that have all of these words')
    .option('--compare <file>', 'what --json printed before, to show how times changed')
    .option('--tune', 'let every command take the fastest variants from now on, on this device and driver')
    .option('--html <file>', 'write a page with a roofline and all rows', htmlFile)
    .optionsGroup('Options of --model and --reference:')
    .option(
      '--checkpoint <file|name>',
      'model file, or a name that download lists (default: the model included)',
    )
    .addOption(presetOption())
    .addOption(
      new Option(
        '--untrained <preset>',
        "with --model: a published model's sizes with random weights, for its speed and memory",
      ).choices(presetNames),
    )
    .optionsGroup('Options of --reference:')
    .option('--batch-size <images>', 'images computed together (default: 16)', wholeNumber(1, 4096))
    .option(
      '--tolerance <error>',
      'largest absolute error that agrees (default: 1e-4 in f32, 2e-2 in f16)',
      tolerance,
    )
    .option('--check', 'exit with 1 where an error is past the tolerance')
    .addHelpText('after', examples)
    .action(async (options: BenchOptions) => {
      const mode = modeOf(options);
      refuseOthers(mode, options);
      const run = await modes[mode]();
      process.exitCode = await run(options);
    });
}

/** @throws UsageError unless exactly one mode is given */
function modeOf(options: BenchOptions): keyof typeof modes {
  const [mode, ...others] = modeNames.filter((name) => options[name] !== undefined);
  const known = modeNames.map((name) => `--${name}`).join(', ');
  if (mode === undefined) throw new UsageError(`bench: no mode is given; give one of ${known}.`);
  if (others.length > 0) {
    const given = [mode, ...others].map((name) => `--${name}`).join(' and ');
    throw new UsageError(`bench: ${given} are given; give one of them.`);
  }
  return mode;
}

/** @throws UsageError for an option that the mode has not, and which would do nothing */
function refuseOthers(mode: keyof typeof modes, options: BenchOptions): void {
  const foreign = Object.values(optionsOf)
    .flat()
    .find((name) => options[name] !== undefined && !optionsOf[mode].includes(name));
  if (foreign === undefined) return;
  const having = modeNames.filter((other) => optionsOf[other].includes(foreign)).map((other) => `--${other}`);
  const flag = foreign.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new UsageError(`bench: --${flag} belongs to ${having.join(' and ')}; leave it out with --${mode}.`);
}

function models(text: string): ModelName[] {
  return text.split(',').map((name) => {
    const known = modelNames.find((model) => model === name.trim());
    if (known === undefined) throw new InvalidArgumentError(`Expected names of ${modelNames.join(', ')}.`);
    return known;
  });
}

function batches(text: string): number[] {
  return text.split(',').map((size) => wholeNumber(1, 4096)(size.trim()));
}

function tolerance(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new InvalidArgumentError('Expected a number from 0 on, as 1e-4.');
  }
  return value;
}
