/** Downloads of published checkpoints into a cache, for Node. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findPublished, type PublishedCheckpoint } from './catalogue.js';
import { CheckpointError } from './errors.js';
import { fileError } from './file_source.js';
import { makeFolder } from './output_target.js';
import { takePart } from './part_lock.js';

export interface DownloadProgress {
  readonly receivedBytes: number;
  /** Undefined when the server does not say. */
  readonly totalBytes: number | undefined;
}

export interface DownloadOptions {
  /** Default: `defaultCacheFolder()`. */
  readonly cacheFolder?: string;
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** In place of the global one, for tests and proxies. */
  readonly fetch?: typeof fetch;
  /** Wait before the first retry; doubled for each further one that brings nothing. Default 1000. */
  readonly retryDelayMs?: number;
  /** A connection that brings nothing for so long counts as cut. Default 60000. */
  readonly stallTimeoutMs?: number;
}

/** Attempts in a row that bring nothing, and attempts in all. */
const MOST_FRUITLESS_ATTEMPTS = 4;
const MOST_ATTEMPTS = 100;
/** More than any published checkpoint; keeps a server that never ends from filling the disk. */
const LARGEST_DOWNLOAD_BYTES = 16 * 2 ** 30;

/** `CLIP4STR_CACHE`, or `clip4str-engine` in the platform's folder for caches. */
export function defaultCacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const { CLIP4STR_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = environment;
  if (CLIP4STR_CACHE) return CLIP4STR_CACHE;
  return join(XDG_CACHE_HOME || LOCALAPPDATA || join(homedir(), '.cache'), 'clip4str-engine');
}

/**
 * Downloads a published checkpoint unless it is in the cache already, and returns its path.
 * @param name in the catalogue
 * @throws as `downloadPublished`, or when the name is unknown.
 */
export function download(name: string, options: DownloadOptions = {}): Promise<string> {
  return downloadPublished(findPublished(name), options);
}

/**
 * Downloads into `<file>.part`, which a later call resumes, and renames it once its SHA-256 is right: the file is in
 * the cache whole or not at all. While another download of the file is at work, it is waited for.
 * @throws CheckpointError when the server refuses, cannot be reached, or sends another file than was published, and when
 *   the cache cannot be written.
 */
export async function downloadPublished(
  published: PublishedCheckpoint,
  options: DownloadOptions = {},
): Promise<string> {
  const folder = options.cacheFolder ?? defaultCacheFolder();
  const path = join(folder, published.fileName);
  const part = `${path}.part`;
  try {
    if (await fileSize(path)) return path;
    await makeFolder(folder);
    const lock = await takePart(part, async () => {
      if (await fileSize(path)) return true;
      const receivedBytes = await fileSize(part);
      if (receivedBytes > 0) options.onProgress?.({ receivedBytes, totalBytes: undefined });
      return false;
    });
    try {
      if (lock && !(await fileSize(path))) await fetchWhole(published, part, path, options);
    } finally {
      await lock?.release();
    }
    return path;
  } catch (error) {
    // Another process may have taken over from one that was stopped for long; what it put there is whole.
    if (await fileSize(path).catch(() => 0)) return path;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTDIR' || code === 'EEXIST') {
      throw new CheckpointError(
        published.fileName,
        `cannot be kept in ${folder}: that path, or a part of it, is a file. Give another folder for the cache.`,
        { cause: error },
      );
    }
    throw fileError(published.fileName, error);
  }
}

async function fetchWhole(
  published: PublishedCheckpoint,
  part: string,
  path: string,
  options: DownloadOptions,
): Promise<void> {
  await fetchAll(published, part, options);
  const digest = await sha256(part);
  if (!digest.startsWith(published.sha256)) {
    await rm(part);
    throw new CheckpointError(
      published.fileName,
      `has SHA-256 ${digest}, but the published file's begins with ${published.sha256}; it was deleted. Try again.`,
    );
  }
  await rename(part, path);
}

/** An answer of the server that is not the file. */
class Answered extends Error {}

/** One that no retry can change. */
class Refused extends Answered {}

async function fetchAll(
  published: PublishedCheckpoint,
  part: string,
  options: DownloadOptions,
): Promise<void> {
  const { retryDelayMs = 1000 } = options;
  let fruitless = 0;
  for (let attempt = 1; ; attempt++) {
    const before = await fileSize(part);
    try {
      if (await fetchRest(published, part, options)) return;
      if ((await sha256(part)).startsWith(published.sha256)) return;
      throw new Error(`the server ended after ${await fileSize(part)} bytes, which are not the whole file`);
    } catch (error) {
      const after = await fileSize(part);
      fruitless = after > before ? 0 : fruitless + 1;
      if (error instanceof Refused || fruitless >= MOST_FRUITLESS_ATTEMPTS || attempt >= MOST_ATTEMPTS) {
        throw new CheckpointError(
          published.fileName,
          `cannot be downloaded from ${published.url}: ${describe(error)}. ${adviceAfter(error, after)}`,
          { cause: error },
        );
      }
      await delay(retryDelayMs * 2 ** fruitless);
    }
  }
}

function adviceAfter(error: unknown, keptBytes: number): string {
  if (error instanceof Refused) {
    return 'Trying again will not help: get the file from its authors and give its path instead of the name.';
  }
  if (keptBytes > 0) return `${keptBytes} bytes are kept; the next attempt goes on from there.`;
  return error instanceof Answered ? 'Try again later.' : 'Check the connection.';
}

/**
 * One request for what is missing.
 * @returns whether the server says that the file is complete; false where it does not say how long it is
 */
async function fetchRest(
  published: PublishedCheckpoint,
  part: string,
  options: DownloadOptions,
): Promise<boolean> {
  const have = await fileSize(part);
  const stall = new StallTimer(options.stallTimeoutMs ?? 60_000);
  try {
    const response = await (options.fetch ?? fetch)(published.url, {
      // Without compression, because ranges count the bytes that are sent.
      headers: { 'accept-encoding': 'identity', ...(have > 0 ? { range: `bytes=${have}-` } : {}) },
      signal: stall.signal,
    });
    if (response.status === 416) {
      await response.body?.cancel();
      if (rangeTotal(response) === have) return true;
      await rm(part);
      throw new Error('the server has a shorter file than the part kept here; starting again');
    }
    if (!response.ok || !response.body) {
      await response.body?.cancel();
      const problem = `HTTP status ${response.status} ${response.statusText}`.trim();
      const temporary = response.status >= 500 || response.status === 408 || response.status === 429;
      throw temporary ? new Answered(problem) : new Refused(problem);
    }
    const resumed = response.status === 206 && rangeStart(response) === have;
    if (response.status === 206 && !resumed) {
      await response.body.cancel();
      await rm(part, { force: true });
      throw new Error('the server sent another range than was asked for; starting again');
    }
    const start = resumed ? have : 0;
    const length = Number(response.headers.get('content-length') ?? NaN);
    const whole = resumed ? rangeTotal(response) : NaN;
    const total = [whole, start + length].find(Number.isSafeInteger);
    const received = await append(response.body, part, start, total, stall, options);
    if (total !== undefined && received < total)
      throw new Error(`the connection was cut after ${received} bytes`);
    return total !== undefined;
  } finally {
    stall.stop();
  }
}

async function append(
  body: ReadableStream<Uint8Array>,
  part: string,
  start: number,
  total: number | undefined,
  stall: StallTimer,
  { onProgress }: DownloadOptions,
): Promise<number> {
  const file: FileHandle = await open(part, start > 0 ? 'r+' : 'w');
  let received = start;
  try {
    for await (const bytes of body as AsyncIterable<Uint8Array>) {
      stall.restart();
      if (received + bytes.length > LARGEST_DOWNLOAD_BYTES) {
        throw new Refused(`the server sent more than ${LARGEST_DOWNLOAD_BYTES} bytes`);
      }
      await writeAll(file, bytes, received);
      received += bytes.length;
      onProgress?.({ receivedBytes: received, totalBytes: total });
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return received;
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** Aborts a request that brings nothing for a while. */
class StallTimer {
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly timeoutMs: number) {
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(): void {
    clearTimeout(this.#timer);
    const seconds = this.timeoutMs / 1000;
    this.#timer = setTimeout(
      () => this.#controller.abort(new Error(`nothing was received for ${seconds} seconds`)),
      this.timeoutMs,
    );
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

function rangeStart(response: Response): number {
  return Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1] ?? NaN);
}

function rangeTotal(response: Response): number {
  return Number(/\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1] ?? NaN);
}

async function fileSize(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(path)) hash.update(bytes as Buffer);
  return hash.digest('hex');
}

/** The reason within `fetch failed`, which by itself says nothing. */
function describe(error: unknown): string {
  const { message, cause } = error as { message: string; cause?: { message?: string; code?: string } };
  if (cause?.code === 'ENOTFOUND' || cause?.code === 'EAI_AGAIN') {
    return 'the host cannot be found, so this machine may be offline';
  }
  return cause ? `${message} (${cause.message || cause.code})` : message;
}
