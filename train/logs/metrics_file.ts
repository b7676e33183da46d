/** `metrics.jsonl`: what a run measured, one JSON object a line, for Node. */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { CheckpointError } from '../../weights/errors.js';
import { writeWholeFile } from '../../weights/whole_file.js';
import type { StepEvent, TrainingObserver, ValidationEvent } from '../events.js';
import { AppendedFile } from './appended_file.js';
import { type MetricsLine, readMetrics } from './metrics_lines.js';

/** How much is gathered before it is written when a file is rewritten. */
const chunkCharacters = 1 << 20;

/**
 * Writes a line for each step and each validation, as it happens: the event's fields, and `kind`. Validations are
 * written without their samples. A number that is not finite is null.
 *
 * A step that was already written is one repeated after a fault: the lines from there on are replaced.
 */
export class MetricsFile implements TrainingObserver {
  #file: AppendedFile;
  #lastStep: number;

  private constructor(file: AppendedFile, lastStep: number) {
    this.#file = file;
    this.#lastStep = lastStep;
  }

  /**
   * @param resumedFrom steps done by the checkpoint that the run goes on from: lines of later steps are dropped, whole or
   *   not at all. Without it the file must be new or empty
   * @throws CheckpointError if a new run finds another's lines, or the file cannot be read or written
   */
  static async open(path: string, { resumedFrom }: { resumedFrom?: number } = {}): Promise<MetricsFile> {
    if (resumedFrom === undefined && (await sizeBytes(path)) > 0) {
      throw new CheckpointError(
        basename(path),
        'holds the metrics of another run; resume that run or write to another folder',
      );
    }
    await dropLinesAfter(path, resumedFrom ?? 0);
    return new MetricsFile(await AppendedFile.open(path, 'r+'), resumedFrom ?? 0);
  }

  async step(event: StepEvent): Promise<void> {
    if (event.step <= this.#lastStep) {
      const { path } = this.#file;
      await dropLinesAfter(path, event.step - 1);
      await this.#file.close();
      this.#file = await AppendedFile.open(path, 'r+');
    }
    this.#lastStep = event.step;
    await this.#write({ kind: 'step', ...event });
  }

  async validation(event: ValidationEvent): Promise<void> {
    const { step, images, visualOnly, sets, combined, unreadable } = event;
    await this.#write({ kind: 'validation', step, images, visualOnly, sets, combined, unreadable });
  }

  async end(): Promise<void> {
    await this.#file.close();
  }

  async #write(line: MetricsLine): Promise<void> {
    await this.#file.append(Buffer.from(`${JSON.stringify(line)}\n`));
  }
}

async function dropLinesAfter(path: string, step: number): Promise<void> {
  await writeWholeFile(path, async (file) => {
    let kept = '';
    for await (const { text, metrics } of readMetrics(path)) {
      if (metrics.step <= step) kept += `${text}\n`;
      if (kept.length > chunkCharacters) {
        await file.writeFile(kept);
        kept = '';
      }
    }
    await file.writeFile(kept);
  });
}

async function sizeBytes(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}
