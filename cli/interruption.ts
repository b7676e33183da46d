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

const GRACE_MS = 10_000;

/** When commands that were interrupted are ended, unless they write what they have done. */
const deadlines: NodeJS.Timeout[] = [];
let deadlinesLifted = false;

const signals = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const;

/**
 * Watches for Ctrl-C and requests to terminate. Work checks the signal between its steps and leaves nothing half done;
 * work that waits for something else is ended after a while, and a second Ctrl-C ends the process at once.
 * @param graceMs time that work is given to stop between two of its steps; Infinity sets it no end
 */
export function watchForInterruption(graceMs = GRACE_MS): AbortSignal {
  const controller = new AbortController();
  for (const [name, exitCode] of signals) {
    process.once(name, () => {
      controller.abort(new Interruption('interrupted', exitCode));
      // By now the signal has its usual effect again.
      if (graceMs < Infinity && !deadlinesLifted)
        deadlines.push(setTimeout(() => process.kill(process.pid, name), graceMs).unref());
    });
  }
  return controller.signal;
}

/** Gives a command that is or will be interrupted all the time it needs, to write what it has done. */
export function liftDeadlines(): void {
  deadlinesLifted = true;
  for (const deadline of deadlines.splice(0)) clearTimeout(deadline);
}

/** The items until there are no more, or one of them takes longer than `orInterrupted` waits. */
export async function* untilInterrupted<T>(
  items: AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T, void> {
  const iterator = items[Symbol.asyncIterator]();
  try {
    for (;;) {
      // Work that was waited for already has taken the time there was.
      signal.throwIfAborted();
      const next = await orInterrupted(iterator.next(), signal);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // Not waited for: it may be stuck in the item that took too long.
    iterator.return?.().catch(() => undefined);
  }
}

/**
 * Waits for work that cannot be stopped: once the signal is given only for five seconds more, so that what was done before
 * can still be written.
 * @throws the signal's reason where the work took longer
 */
export function orInterrupted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    let patience: NodeJS.Timeout | undefined;
    const interrupt = (): void => {
      patience = setTimeout(() => reject(signal.reason as Error), GRACE_MS / 2);
    };
    if (signal.aborted) interrupt();
    else signal.addEventListener('abort', interrupt, { once: true });
    void work.then(resolve, reject).finally(() => {
      clearTimeout(patience);
      signal.removeEventListener('abort', interrupt);
    });
  });
}

/** Watches the standard output: who reads it may close it, having seen enough. */
export function watchOutput(): AbortSignal {
  const controller = new AbortController();
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    const message = error.code === 'EPIPE' ? '' : `the standard output cannot be written: ${error.message}`;
    controller.abort(new Interruption(message, message === '' ? 0 : 1));
  });
  // Without a standard error there is nobody left to tell.
  process.stderr.on('error', () => {});
  return controller.signal;
}
