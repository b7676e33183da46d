/** How a run comes along, on a terminal or in a log, for Node. */
import type { WriteStream } from 'node:tty';
import cliProgress from 'cli-progress';
import { oneLine } from '../../weights/errors.js';
import { formatBytes } from '../../weights/format_bytes.js';
import type { CheckpointEvent, EndEvent, StepEvent, TrainingObserver, ValidationEvent } from '../events.js';
import {
  formatDuration,
  formatFlops,
  formatMeasure,
  formatPercent,
  formatRates,
  formatSpeed,
} from './quantities.js';
import { Throughput } from './throughput.js';

export interface ProgressLineOptions {
  /** Says nothing at all. */
  readonly quiet?: boolean;
  /** Where to; a bar that stays in its line on a terminal, else a plain line now and then. */
  readonly stream?: NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY' | 'columns'>>;
  /** Least time between two plain lines. The first and the last step always have one. */
  readonly plainLineSeconds?: number;
}

const barWidths = { least: 8, most: 30 };
const separator = ' · ';

/** Shows steps as they are done, and writes a line for each validation, checkpoint and notice, and at the end. */
export class ProgressLine implements TrainingObserver {
  readonly #stream: NonNullable<ProgressLineOptions['stream']>;
  readonly #quiet: boolean;
  readonly #plainLineMs: number;
  readonly #throughput = new Throughput();
  #bar: cliProgress.SingleBar | undefined;
  #trainingMs = 0;
  #last: StepEvent | undefined;
  #lastPlainLine = -Infinity;

  constructor(options: ProgressLineOptions = {}) {
    this.#stream = options.stream ?? process.stderr;
    this.#quiet = options.quiet ?? false;
    this.#plainLineMs = 1000 * (options.plainLineSeconds ?? 30);
  }

  step(event: StepEvent): void {
    if (this.#quiet) return;
    this.#throughput.add(event);
    this.#trainingMs += event.stepMs;
    this.#last = event;
    if (this.#stream.isTTY) this.#showBar(event);
    else if (performance.now() - this.#lastPlainLine >= this.#plainLineMs || event.step >= event.totalSteps) {
      this.#lastPlainLine = performance.now();
      this.#stream.write(`${this.#fields(event).join(separator)}\n`);
    }
  }

  validation({ step, visualOnly, sets, combined, unreadable }: ValidationEvent): void {
    const each = sets.length < 2 ? [] : sets.map(({ name, accuracy }) => `${name} ${accuracy.toFixed(2)}`);
    const results = [
      `accuracy ${combined.accuracy.toFixed(2)} %`,
      `1 - NED ${combined.ned.toFixed(2)} %`,
      `${combined.samples} images`,
      ...(unreadable > 0 ? [`${unreadable} unreadable`] : []),
      ...each,
    ];
    this.#tell(`step ${step}${visualOnly ? ', visual branch' : ''}: ${results.join(separator)}`);
  }

  checkpoint({ step, path, kind }: CheckpointEvent): void {
    this.#tell(`step ${step}: ${kind === 'best' ? 'best so far, ' : ''}saved ${path}`);
  }

  notice(message: string): void {
    this.#tell(message);
  }

  /** The message of a fault is left to whoever reports the error. */
  end({ step, reason }: EndEvent): void {
    const took = this.#trainingMs > 0 ? ` after ${formatDuration(this.#trainingMs)} of training` : '';
    const total = this.#last ? ` of ${this.#last.totalSteps}` : '';
    const words = { complete: 'All steps done', stopped: 'Stopped', failed: 'Failed' }[reason];
    this.#tell(`${words}: step ${step}${total}${took}`);
  }

  #tell(line: string): void {
    if (this.#quiet) return;
    this.#bar?.stop();
    this.#bar = undefined;
    this.#stream.write(`${oneLine(line)}\n`);
  }

  #showBar(event: StepEvent): void {
    if (!this.#bar) {
      this.#bar = new cliProgress.SingleBar(
        {
          stream: this.#stream,
          clearOnComplete: true,
          // A signal ends the run in its own time: until then the line goes on.
          gracefulExit: false,
          format: (options, { progress }) => this.#terminalLine(options, progress),
        },
        cliProgress.Presets.shades_classic,
      );
      this.#bar.start(event.totalSteps, event.step);
    }
    this.#bar.update(event.step);
  }

  /** As many fields as fit into one line, with a bar before them if there is room. */
  #terminalLine({ barCompleteString, barIncompleteString }: cliProgress.Options, progress: number): string {
    const columns = (this.#stream.columns ?? 80) - 1;
    let line = '';
    for (const field of this.#last ? this.#fields(this.#last) : []) {
      const longer = line === '' ? field : `${line}${separator}${field}`;
      if (longer.length > columns) break;
      line = longer;
    }
    const width = Math.min(columns - line.length - 1, barWidths.most);
    if (width < barWidths.least) return line;
    const done = Math.round(width * progress);
    return `${barCompleteString!.slice(0, done)}${barIncompleteString!.slice(0, width - done)} ${line}`;
  }

  /** The most wanted first: a narrow terminal shows only these. */
  #fields(event: StepEvent): string[] {
    const { step, totalSteps, loss, learningRates, peakBytes, peakFlopsPerSecond, skipped } = event;
    const { imagesPerSecond, flopsPerSecond, waiting, stepMs } = this.#throughput;
    return [
      `step ${step}/${totalSteps}`,
      `loss ${formatMeasure(loss)}${skipped ? ' (skipped)' : ''}`,
      `${formatSpeed(imagesPerSecond)} images/s`,
      `${formatDuration(Math.max(0, totalSteps - step) * stepMs)} left`,
      `wait ${formatPercent(waiting)}`,
      `lr ${formatRates(learningRates)}`,
      `memory ${formatBytes(peakBytes)}`,
      `${formatFlops(flopsPerSecond)} (${formatPercent(flopsPerSecond / peakFlopsPerSecond)} of peak)`,
    ];
  }
}
