import { Command } from 'commander';
import { describeError } from './errors.js';
import { ownVersion } from './package.js';

interface LazyCommand {
  readonly summary: string;
  /** Loads its file. Loading them all takes longer than most commands do. */
  readonly load: () => Promise<DefineCommand>;
}

/**
 * Gives a command what it takes and does.
 * @param outputClosed aborted when nobody reads the standard output any more
 */
type DefineCommand = (command: Command, outputClosed: AbortSignal) => void;

/** One file a command, in the order of the help. */
const commands: Readonly<Record<string, LazyCommand>> = {
  read: {
    summary: 'read the text in images',
    load: async () => (await import('./read.js')).defineRead,
  },
  inspect: {
    summary: 'show what a model file holds',
    load: async () => (await import('./inspect.js')).defineInspect,
  },
  convert: {
    summary: 'convert a model file to safetensors',
    load: async () => (await import('./convert.js')).defineConvert,
  },
  dataset: {
    summary: 'make, look at and sift data sets of word images',
    load: async () => (await import('./dataset.js')).defineDataset,
  },
  doctor: {
    summary: 'check whether this machine can compute, and what to do where it cannot',
    load: async () => (await import('./doctor.js')).defineDoctor,
  },
  download: {
    summary: 'download published models',
    load: async () => (await import('./download.js')).defineDownload,
  },
  eval: {
    summary: 'measure how well labelled words are read',
    load: async () => (await import('./eval.js')).defineEval,
  },
  train: {
    summary: 'train a model, or train one further',
    load: async () => (await import('./train.js')).defineTrain,
  },
  synth: {
    summary: 'render word images to train on',
    load: async () => (await import('./synth.js')).defineSynth,
  },
  bench: {
    summary: 'measure kernels and models, and compare with references',
    load: async () => (await import('./bench.js')).defineBench,
  },
};

const after = `
Help for a command: clip4str-engine help read

Environment:
  CLIP4STR_CACHE     folder of downloaded models
  CLIP4STR_VERBOSE   set to show the graphics driver's own messages (where the standard error is a file, some always are)
  DEBUG              set to show where an error comes from

Exit code: 0 done, 1 wrong usage or nothing done, 2 done in part.`;

/**
 * The command line. Of the commands only the one that is named has its options: the others appear in the help by their
 * summaries alone.
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
  // `help read` and `-- read` name it too; what is named first is what runs.
  const named = args.find((arg) => Object.hasOwn(commands, arg));
  for (const [name, { summary, load }] of Object.entries(commands)) {
    const command = program.command(name).summary(summary);
    if (name === named) (await load())(command, outputClosed);
  }
  // Set last, so that the commands, whose options are known, list theirs as usual.
  return program.configureHelp({ subcommandTerm: (command) => command.name() });
}
