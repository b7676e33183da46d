/**
 * Examines fonts on threads. A font can be damaged, or made, so that reading it takes hours or all memory: the thread is
 * then ended and the font is left out.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { ExaminedFont } from './examine_font.js';

export interface ExaminationRequest {
  readonly path: string;
  readonly codePoints: readonly number[];
}

const secondsPerFont = 20;
const largestHeapMegabytes = 1024;
const mostThreads = 8;
/** Starting a thread takes as long as examining so many fonts. */
const fontsPerThread = 24;

/** What is found of each font, in the order of the paths. */
export async function examineFonts(
  paths: readonly string[],
  codePoints: readonly number[],
): Promise<ExaminedFont[]> {
  const found = new Array<ExaminedFont>(paths.length);
  let next = 0;
  const work = async (): Promise<void> => {
    const thread = new ExaminerThread();
    try {
      for (let index = next++; index < paths.length; index = next++) {
        found[index] = await thread.examine({ path: paths[index]!, codePoints });
      }
    } finally {
      await thread.end();
    }
  };
  const threads = Math.min(mostThreads, availableParallelism(), Math.ceil(paths.length / fontsPerThread));
  await Promise.all(Array.from({ length: threads }, work));
  return found;
}

class ExaminerThread {
  private worker: Worker | undefined;

  async examine(request: ExaminationRequest): Promise<ExaminedFont> {
    const worker = (this.worker ??= new Worker(new URL('./font_examiner_thread.js', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: largestHeapMegabytes },
    }));
    const listening = new AbortController();
    const { signal } = listening;
    try {
      const limit = setTimeout(secondsPerFont * 1000, undefined, { signal }).then(() => {
        throw new Error(`it takes more than ${secondsPerFont} s`);
      });
      // Its events: an answer, or an error, at which `once` throws.
      const answer = once(worker, 'message', { signal });
      worker.postMessage(request);
      const [examined] = (await Promise.race([answer, limit])) as [ExaminedFont];
      return examined;
    } catch (error) {
      await this.end();
      const reason = error instanceof Error ? error.message : String(error);
      return { kind: 'unusable', reason: `cannot be read: ${reason}` };
    } finally {
      listening.abort();
    }
  }

  async end(): Promise<void> {
    const { worker } = this;
    this.worker = undefined;
    await worker?.terminate();
  }
}
