/** A PyTorch script in a process of its own: requests and answers, and how it ends. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { processEnd } from '../report/process_end.js';
import { PeerUnable, orUnable } from './peer_unable.js';
import { type Frame, FrameReader, type PipedTensor, frameBytes } from './torch_frames.js';

/** The Python that is asked where none is named, as its own installers call it. */
export const defaultPython = process.platform === 'win32' ? 'python' : 'python3';

const scripts = { kernels: 'torch_kernels.py', model: 'torch_model.py' } as const;

/** What a script tells of itself. */
const greeting = z.object({
  /** With the device, as `PyTorch (CPU, 2 threads)`. */
  name: z.string(),
  version: z.string(),
  device: z.literal(['cuda', 'cpu']),
});
export type TorchGreeting = z.infer<typeof greeting>;

export interface TorchOptions {
  /** Ends the process and whatever waits for it. */
  readonly signal?: AbortSignal | undefined;
}

/** Bytes of the standard error that are kept, to say why a process ended. */
const keptErrorBytes = 4096;
/** How long a process may take to end by itself. */
const graceMs = 5000;

interface Waiting {
  readonly resolve: (frame: Frame) => void;
  readonly reject: (reason: Error) => void;
}

export class TorchProcess {
  private waiting: Waiting | undefined;
  /** Why there are no more answers. */
  private fault: Error | undefined;
  private errors = '';
  private readonly closed: Promise<void>;
  private readonly first: Promise<Frame>;

  private constructor(
    private readonly python: string,
    private readonly child: ChildProcessByStdio<Writable, Readable, Readable>,
    { signal }: TorchOptions,
  ) {
    this.first = this.nextFrame();
    const reader = new FrameReader((frame) => this.take(frame));
    child.stdout.on('data', (piece: Buffer) => {
      if (this.fault) return;
      try {
        reader.push(piece);
      } catch (error) {
        this.end(new PeerUnable(`${python} ${error instanceof Error ? error.message : String(error)}.`));
      }
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.errors = (this.errors + text).slice(-keptErrorBytes);
    });
    // A process that has ended reads no more, which is told below.
    child.stdin.on('error', () => undefined);
    const abort = (): void => this.end(asError(signal?.reason));
    signal?.addEventListener('abort', abort, { once: true });
    this.closed = new Promise((resolve) => {
      child.once('error', (error: NodeJS.ErrnoException) => {
        this.end(new PeerUnable(notStarted(python, error)));
        resolve();
      });
      // After the last piece of its output.
      child.once('close', (code, killedBy) => {
        signal?.removeEventListener('abort', abort);
        this.end(new PeerUnable(processEnd(python, code, killedBy, this.errors)));
        resolve();
      });
    });
    if (signal?.aborted) abort();
  }

  /**
   * Starts a script, and waits until it has PyTorch.
   * @param python executable, a name or a path
   * @throws PeerUnable that says what to do, where there is no such Python or it has no PyTorch
   */
  static async start(
    python: string,
    script: keyof typeof scripts,
    options: TorchOptions = {},
  ): Promise<{ process: TorchProcess; greeting: TorchGreeting }> {
    const path = fileURLToPath(new URL(scripts[script], import.meta.url));
    // -B: no compiled copies beside the scripts, which lie in an installed package.
    const child = await orUnable(async () =>
      spawn(python, ['-B', '-X', 'utf8', path], { stdio: ['pipe', 'pipe', 'pipe'], windowsHide: true }),
    );
    const process = new TorchProcess(python, child, options);
    try {
      return { process, greeting: answerOf(greeting, await process.first) };
    } catch (error) {
      await process.close();
      throw error;
    }
  }

  /** Whether it answers no more. */
  get ended(): boolean {
    return this.fault !== undefined;
  }

  /**
   * One request at a time.
   * @param answer what is expected of the answer
   * @throws PeerUnable where the script could not, or the process has ended; the signal's reason where that was given
   */
  async request<T>(
    answer: z.ZodType<T>,
    message: { readonly op: string } & Readonly<Record<string, unknown>>,
    tensors: readonly (PipedTensor & { readonly storedAs?: string })[] = [],
  ): Promise<{ answer: T; tensors: readonly PipedTensor[] }> {
    if (this.fault) throw this.fault;
    const next = this.nextFrame();
    for (const bytes of frameBytes(message, tensors)) this.child.stdin.write(bytes);
    const frame = await next;
    return { answer: answerOf(answer, frame), tensors: frame.tensors };
  }

  /** Lets the process end, or ends it. */
  async close(): Promise<void> {
    this.child.stdin.end();
    const killing = setTimeout(() => this.child.kill('SIGKILL'), graceMs);
    await this.closed;
    clearTimeout(killing);
  }

  private nextFrame(): Promise<Frame> {
    return new Promise((resolve, reject) => (this.waiting = { resolve, reject }));
  }

  private take(frame: Frame): void {
    const { waiting } = this;
    this.waiting = undefined;
    if (waiting) waiting.resolve(frame);
    else this.end(new PeerUnable(`${this.python} answered without having been asked.`));
  }

  /** No more answers; the first reason counts. */
  private end(reason: Error): void {
    if (this.fault) return;
    this.fault = reason;
    this.waiting?.reject(reason);
    this.waiting = undefined;
    this.child.kill('SIGKILL');
  }
}

const failure = z.object({ error: z.string() });

function answerOf<T>(expected: z.ZodType<T>, { message }: Frame): T {
  const failed = failure.safeParse(message);
  if (failed.success) throw new PeerUnable(failed.data.error);
  const parsed = expected.safeParse(message);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new PeerUnable(`PyTorch's answer has no usable ${issue!.path.join('.')}: ${issue!.message}`);
}

function notStarted(python: string, error: NodeJS.ErrnoException): string {
  const reason = error.code === 'ENOENT' ? 'no such program' : error.message;
  return (
    `${python} cannot be started (${reason}); install Python 3.8 or later and PyTorch (pip install torch), or name the ` +
    'Python that has it, as --torch venv/bin/python'
  );
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
