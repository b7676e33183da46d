/** Renders words on several threads and hands them to a writer in order. */
import { Worker } from 'node:worker_threads';
import type { RenderReply, RenderRequest, RenderSetup, RenderedWord } from './render_messages.js';
import type { WordWriter } from './word_writer.js';

export interface RenderOptions extends RenderSetup {
  /** Images in all, those already written included. */
  readonly count: number;
  readonly threads: number;
  /** Ends the run between two images. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((written: number) => void) | undefined;
}

const imagesPerRequest = 16;
/** Requests under way or waiting to be written, for each thread: more would only take memory. */
const requestsPerThread = 3;

/**
 * Renders what the writer does not have yet, up to `count` images. What is rendered depends on material, seed and number
 * alone, not on the threads.
 * @returns images rendered by this run
 * @throws Error if a thread or the writer fails, or the reason of the signal
 */
export async function renderWords(options: RenderOptions, writer: WordWriter): Promise<number> {
  const { material, seed, format, quality, count, signal, onProgress } = options;
  const begun = writer.written;
  const requests = Math.ceil((count - begun) / imagesPerRequest);
  if (requests <= 0) return 0;
  const setup: RenderSetup = { material, seed, format, quality };
  const threads = Array.from({ length: Math.min(options.threads, requests) }, () => new RenderThread(setup));
  try {
    const ahead = threads.length * requestsPerThread;
    const pending: Promise<readonly RenderedWord[]>[] = [];
    let asked = 0;
    const ask = (): void => {
      const first = begun + asked * imagesPerRequest;
      const words = threads[asked % threads.length]!.render(first, Math.min(imagesPerRequest, count - first));
      // A failure is told when its turn comes.
      words.catch(() => undefined);
      pending.push(words);
      asked += 1;
    };
    while (asked < Math.min(ahead, requests)) ask();
    for (let next = pending.shift(); next; next = pending.shift()) {
      const words = await next;
      if (asked < requests) ask();
      for (const { image, label } of words) {
        signal?.throwIfAborted();
        await writer.write(writer.written, image, label);
        onProgress?.(writer.written);
      }
    }
    return writer.written - begun;
  } finally {
    await Promise.all(threads.map((thread) => thread.end()));
  }
}

interface Waiting {
  readonly resolve: (words: readonly RenderedWord[]) => void;
  readonly reject: (error: Error) => void;
}

class RenderThread {
  private readonly worker: Worker;
  private readonly ended: Promise<void>;
  /** In the order of the requests, which is that of the replies. */
  private readonly waiting: Waiting[] = [];
  private failure: Error | undefined;

  constructor(setup: RenderSetup) {
    this.worker = new Worker(new URL('./render_thread.js', import.meta.url), { workerData: setup });
    this.worker.on('message', (reply: RenderReply) => {
      if (reply.kind === 'rendered') this.waiting.shift()?.resolve(reply.words);
      else this.fail(new Error(reply.message));
    });
    this.worker.on('error', (error) => this.fail(error instanceof Error ? error : new Error(String(error))));
    this.ended = new Promise((resolve) => {
      this.worker.on('exit', () => {
        this.fail(new Error('a rendering thread ended before its work was done.'));
        resolve();
      });
    });
  }

  render(first: number, count: number): Promise<readonly RenderedWord[]> {
    if (this.failure) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.worker.postMessage({ first, count } satisfies RenderRequest);
    });
  }

  /** Ends the thread after what it was asked for. */
  async end(): Promise<void> {
    this.worker.postMessage(undefined satisfies RenderRequest);
    await this.ended;
  }

  private fail(error: Error): void {
    this.failure ??= error;
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }
}
