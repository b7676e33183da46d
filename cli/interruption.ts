/** Ends a command early: Ctrl-C, a request to terminate, or a reader of the output that has seen enough (`| head`). */

/** Why a command ends early, and with which exit code. */
export class Interruption extends Error {
  override readonly name = 'Interruption';

  constructor(
    message: string,
    readonly exitCode: number,
  ) {
    super(message);
  }
}

/** Time that work is given to stop between two of its steps. */
const GRACE_MS = 3000;

const signals = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const;

/**
 * Watches for reasons to end. Work checks the signal between its steps and leaves nothing half done; work that waits
 * for something else is ended after a while, and a second Ctrl-C ends the process at once.
 */
export function watchForInterruption(): AbortSignal {
  const controller = new AbortController();
  const interrupt = (reason: Interruption): void => {
    if (!controller.signal.aborted) controller.abort(reason);
  };
  for (const [name, exitCode] of signals) {
    process.once(name, () => {
      interrupt(new Interruption('interrupted', exitCode));
      // By now the signal has its usual effect again.
      setTimeout(() => process.kill(process.pid, name), GRACE_MS).unref();
    });
  }
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // The reader of a pipe has closed it: what it wanted is done.
    if (error.code === 'EPIPE') interrupt(new Interruption('', 0));
    else interrupt(new Interruption(`the standard output cannot be written: ${error.message}`, 1));
  });
  // Without a standard error there is nobody left to tell.
  process.stderr.on('error', () => {});
  return controller.signal;
}
