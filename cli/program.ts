import { Command } from 'commander';
import { addBench } from './bench.js';
import { addConvert } from './convert.js';
import { addDataset } from './dataset.js';
import { addDoctor } from './doctor.js';
import { addDownload } from './download.js';
import { describeError } from './errors.js';
import { addEval } from './eval.js';
import { addInspect } from './inspect.js';
import { ownVersion } from './package.js';
import { addRead } from './read.js';
import { addTrain } from './train.js';
import { addSynth } from './synth.js';

const after = `
Help for a command: clip4str-engine help read

Environment:
  CLIP4STR_CACHE     folder of downloaded models
  CLIP4STR_VERBOSE   set to show the graphics driver's own messages (where the standard error is a file, some always are)
  DEBUG              set to show where an error comes from

Exit code: 0 done, 1 wrong usage or nothing done, 2 done in part.`;

/**
 * The command line: one file a command.
 * @param outputClosed aborted when nobody reads the standard output any more
 */
export function buildProgram(outputClosed: AbortSignal): Command {
  const program = new Command('clip4str-engine')
    .description('Read text from images with CLIP4STR and PARSeq on WebGPU.')
    .version(ownVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`${describeError(text)}\n`) })
    .addHelpText('after', after);
  addRead(program, outputClosed);
  addInspect(program);
  addConvert(program);
  addDataset(program);
  addDoctor(program);
  addDownload(program);
  addEval(program);
  addTrain(program);
  addSynth(program, outputClosed);
  addBench(program);
  return program;
}
