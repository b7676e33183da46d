import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Precision, precisions } from '../model/index.js';
import { exportScript, runReferenceBench } from './bench_reference.js';
import { type ExitCode, UsageError } from './errors.js';
import { deviceOption, presetOption, wholeNumber } from './options.js';

/** Options of `bench`, those of all modes together. */
export interface BenchOptions {
  readonly reference?: string;
  readonly checkpoint?: string;
  readonly preset?: string;
  readonly device?: string;
  readonly precision: Precision;
  readonly batchSize?: number;
  readonly tolerance?: number;
  readonly check?: true;
  readonly json?: true;
  readonly quiet?: true;
}

/** What each mode does: one file a mode. */
const modes = {
  reference: runReferenceBench,
} as const satisfies Partial<Record<keyof BenchOptions, (options: BenchOptions) => Promise<ExitCode>>>;

const modeNames = Object.keys(modes) as (keyof typeof modes)[];

const examples = `
Modes, of which one is given:
  --reference   what every stage of reading computes, against tensors of the original PyTorch code

Examples:
  clip4str-engine bench --reference reference.safetensors --checkpoint clip4str_base.ckpt
  clip4str-engine bench --reference reference.safetensors --checkpoint clip4str-base --precision f16 --check
  clip4str-engine bench --reference reference.safetensors --json > comparison.json
  python ${exportScript} \\
    --repository CLIP4STR --checkpoint clip4str_base.ckpt --images words/ --output reference.safetensors

The last writes a reference with the original's own code (https://github.com/VamosC/CLIP4STR, or baudm/parseq).

Exit code: 0 done, 1 wrong usage, nothing compared, or --check found an error past the tolerance.`;

/** Adds `bench`. */
export function addBench(program: Command): void {
  program
    .command('bench')
    .summary('measure against references')
    .description('Measure this device and this program: one mode at a time.')
    .option('--reference <file>', 'compare with the tensors of a safetensors file that export.py wrote')
    .option(
      '--checkpoint <file|name>',
      'model file, or a name that download lists (default: the model included)',
    )
    .addOption(presetOption())
    .addOption(deviceOption())
    .addOption(
      new Option('--precision <type>', 'how weights are stored on the device')
        .choices(precisions)
        .default('f32'),
    )
    .option('--batch-size <images>', 'images computed together (default: 16)', wholeNumber(1, 4096))
    .option(
      '--tolerance <error>',
      'largest absolute error that agrees (default: 1e-4 in f32, 2e-2 in f16)',
      tolerance,
    )
    .option('--check', 'exit with 1 where an error is past the tolerance')
    .option('--json', 'as JSON')
    .option('--quiet', 'no progress, no notes')
    .addHelpText('after', examples)
    .action(async (options: BenchOptions) => {
      process.exitCode = await modes[modeOf(options)](options);
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

function tolerance(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new InvalidArgumentError('Expected a number from 0 on, as 1e-4.');
  }
  return value;
}
