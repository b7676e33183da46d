import { Command } from 'commander';
import { describeError } from './errors.js';
import { ownVersion } from './package.js';

/**
 * Adds a command to the program.
 * @param outputClosed aborted when nobody reads the standard output any more
 */
type AddCommand = (program: Command, outputClosed: AbortSignal) => void;

/** One file a command, in the order of the help. Loading them all takes longer than loading the one that is meant. */
const commands: Readonly<Record<string, () => Promise<AddCommand>>> = {
  read: async () => (await import('./read.js')).addRead,
  inspect: async () => (await import('./inspect.js')).addInspect,
  convert: async () => (await import('./convert.js')).addConvert,
  dataset: async () => (await import('./dataset.js')).addDataset,
  doctor: async () => (await import('./doctor.js')).addDoctor,
  download: async () => (await import('./download.js')).addDownload,
  eval: async () => (await import('./eval.js')).addEval,
  train: async () => (await import('./train.js')).addTrain,
  synth: async () => (await import('./synth.js')).addSynth,
  bench: async () => (await import('./bench.js')).addBench,
};

const after = `
Help for a command: clip4str-engine help read

Environment:
  CLIP4STR_CACHE     folder of downloaded models
  CLIP4STR_VERBOSE   set to show the graphics driver's own messages (where the standard error is a file, some always are)
  DEBUG              set to show where an error comes from

Exit code: 0 done, 1 wrong usage or nothing done, 2 done in part.`;

/**
 * The command line, as far as it is needed: the command that comes first, or all of them for their help.
 * @param args what follows the program's name
 */
export async function buildProgram(args: readonly string[], outputClosed: AbortSignal): Promise<Command> {
  const program = new Command('clip4str-engine')
    .description('Read text from images with CLIP4STR and PARSeq on WebGPU.')
    .version(ownVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`${describeError(text)}\n`) })
    .addHelpText('after', after);
  const [first = ''] = args;
  const needed = Object.hasOwn(commands, first) ? [first] : Object.keys(commands);
  const adding = await Promise.all(needed.map((name) => commands[name]!()));
  for (const add of adding) add(program, outputClosed);
  return program;
}
