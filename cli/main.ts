#!/usr/bin/env node
import { CommanderError } from 'commander';
import { EXIT_NOTHING, describeError } from './errors.js';
import { Interruption, watchOutput } from './interruption.js';
import { settleOutput, tell } from './output.js';
import { buildProgram } from './program.js';

// What escapes every command, a fault of ours or of a driver, is one line too.
process.on('uncaughtException', (error) => process.exit(exitCodeOf(error)));

const outputClosed = watchOutput();
let interrupted = false;
try {
  const program = await buildProgram(process.argv.slice(2), outputClosed);
  // Marks tell where the time of a start goes: to `bench --model`, and to profilers.
  performance.mark('modules loaded');
  await program.parseAsync();
} catch (error) {
  interrupted = error instanceof Interruption;
  process.exitCode = exitCodeOf(error);
}
await settleOutput();
// A command that failed has told why, and keeps its exit code.
if (outputClosed.aborted && !process.exitCode) process.exitCode = exitCodeOf(outputClosed.reason);
// What an interrupted command waited for, as a standard input that stays open, keeps the process no longer.
if (interrupted) process.exit();

/** Reports an error in one line, unless it has reported itself. */
function exitCodeOf(error: unknown): number {
  // Commander has printed its own message, or the help or version that was asked for.
  if (error instanceof CommanderError) return error.exitCode;
  const interruption = error instanceof Interruption ? error : undefined;
  if (!interruption) tell(`error: ${describeError(error)}`);
  else if (interruption.message !== '') tell(interruption.message);
  if (!interruption && process.env['DEBUG'] && error instanceof Error) tell(error.stack ?? '');
  return interruption?.exitCode ?? EXIT_NOTHING;
}
