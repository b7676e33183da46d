import { Worker } from 'node:worker_threads';
import { oneLine } from '../../weights/errors.js';
import { UnusableDataError } from './errors.js';
import type { ThreadFailure, ThreadReply, ThreadRequest, ThreadSetup } from './loader_messages.js';
import type { LoadedSamples, SampleRun } from './sample_loader.js';

/** One load is under way in a thread and one waits there, so that it goes on without asking. */
const loadsPerThread = 2;
/** How long a thread may take to finish the sample it is at. */
const closeLimitMs = 5000;

interface PendingLoad {
  readonly run: SampleRun;
  readonly resolve: (samples: LoadedSamples) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  /** What it was asked for, oldest first. */
  readonly loads: PendingLoad[];
  /** The length of its data set. */
  readonly opened: Promise<number>;
  readonly ended: Promise<void>;
}

/** Threads that each have a data set open and share the loading of samples. */
export class LoaderThreads {
  private readonly threads: Thread[];
  private readonly queue: PendingLoad[] = [];
  /** Why nothing more is loaded. */
  private failure: Error | undefined;

  private constructor(setup: ThreadSetup, count: number) {
    this.threads = Array.from({ length: count }, (_, index) => this.start(setup, `${index + 1} of ${count}`));
  }

  /**
   * @param count of threads.
   * @returns the threads, and the length of the data set.
   * @throws Error if the data set cannot be opened.
   */
  static async open(
    setup: ThreadSetup,
    count: number,
  ): Promise<{ readonly threads: LoaderThreads; readonly length: number }> {
    const pool = new LoaderThreads(setup, count);
    try {
      const lengths = await Promise.all(pool.threads.map(({ opened }) => opened));
      if (new Set(lengths).size !== 1) {
        throw new Error(`the data set changed while it was opened: it had ${lengths.join(', ')} samples.`);
      }
      return { threads: pool, length: lengths[0]! };
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  /** @throws Error if a thread failed or died, or the threads are closed. */
  load(run: SampleRun): Promise<LoadedSamples> {
    return new Promise((resolve, reject) => {
      if (this.failure !== undefined) return reject(this.failure);
      this.queue.push({ run, resolve, reject });
      this.dispatch();
    });
  }

  /** Ends all threads; what is not loaded yet is refused. */
  async close(): Promise<void> {
    this.fail(new Error('the data loader is closed.'));
    await Promise.all(this.threads.map(end));
  }

  private start(setup: ThreadSetup, name: string): Thread {
    const worker = new Worker(new URL('./loader_thread.js', import.meta.url), {
      workerData: setup,
      // What the main thread was started with, such as the code of `node -e`, is not the threads' concern.
      execArgv: [],
      name: `data loading ${name}`,
    });
    const loads: PendingLoad[] = [];
    const died = (reason: string) =>
      this.fail(new Error(oneLine(`data loading thread ${name} died${placeOf(loads[0])}: ${reason}`)));
    const opened = new Promise<number>((resolve, reject) => {
      worker.on('message', (reply: ThreadReply) => {
        if (reply.kind === 'opened') resolve(reply.length);
        else if (reply.kind === 'loaded') this.deliver(loads, reply.samples);
        else reject(this.fail(failureOf(reply)));
      });
      worker.once('error', (error) => reject(died(String(error))));
      worker.once('exit', (code) => reject(died(`it ended with exit code ${code}.`)));
    });
    // Once it is open, failures are told by the loads.
    opened.catch(() => undefined);
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    return { worker, loads, opened, ended };
  }

  /** The first failure stands, and refuses everything that waits. */
  private fail(error: Error): Error {
    this.failure ??= error;
    const waiting = [...this.threads.flatMap(({ loads }) => loads.splice(0)), ...this.queue.splice(0)];
    for (const { reject } of waiting) reject(this.failure);
    return this.failure;
  }

  private deliver(loads: PendingLoad[], samples: LoadedSamples): void {
    // After a failure nobody waits any more.
    loads.shift()?.resolve(samples);
    this.dispatch();
  }

  private dispatch(): void {
    while (this.queue.length > 0) {
      const thread = this.threads.reduce((idlest, other) =>
        other.loads.length < idlest.loads.length ? other : idlest,
      );
      if (thread.loads.length >= loadsPerThread) return;
      const load = this.queue.shift()!;
      thread.loads.push(load);
      send(thread, { kind: 'load', run: load.run });
    }
  }
}

function failureOf({ message, unusable }: ThreadFailure): Error {
  return unusable ? new UnusableDataError(message) : new Error(message);
}

function placeOf(load: PendingLoad | undefined): string {
  if (load === undefined) return '';
  const { epoch, start, count } = load.run;
  return ` while it loaded samples ${start} to ${start + count - 1} of epoch ${epoch}`;
}

function send({ worker }: Thread, request: ThreadRequest): void {
  worker.postMessage(request);
}

async function end(thread: Thread): Promise<void> {
  send(thread, { kind: 'close' });
  const limit = setTimeout(() => void thread.worker.terminate(), closeLimitMs);
  await thread.ended;
  clearTimeout(limit);
}
