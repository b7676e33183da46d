/** The reading of images one batch after another, with everything that is written along the way. */
import { type Clip4Str, ImageError, type ReadOptions, finalDecoder } from '../model/index.js';
import { AttentionPictures } from './attention_pictures.js';
import { batchesOf } from './batches.js';
import { EXIT_DONE, EXIT_NOTHING, EXIT_PARTLY, type ExitCode, describeError, printable } from './errors.js';
import { type FormatName, formats, rowOf } from './formats.js';
import type { Fault } from './inputs.js';
import { Interruption, liftDeadlines, orInterrupted, untilInterrupted } from './interruption.js';
import type { NamedImage } from './load_images.js';
import { LogitsFile } from './logits_file.js';
import { print, tell } from './output.js';
import { type Progress, showProgress } from './progress.js';

export interface RunOptions {
  readonly batchSize: number;
  readonly format: FormatName;
  /** Path of the file that logits are written to. */
  readonly logits?: string;
  /** Folder that pictures of the attention are written to. */
  readonly attention?: string;
  readonly originalStopping?: boolean;
  readonly quiet?: true;
}

export function tellFault({ name, reason }: Fault): void {
  tell(`${printable(name)}: ${reason}`);
}

/** One run over all images: prints rows as they come and counts what could not be read. */
export class ReadingRun {
  private rows = 0;

  /** @param faults inputs that were reported before */
  constructor(
    private readonly reader: Clip4Str,
    private readonly options: RunOptions,
    private faults: number,
    private readonly signal: AbortSignal,
  ) {}

  /**
   * @param count of the images, for the progress
   * @throws Interruption, and whatever goes wrong before the first row; the logits of the rows printed are written first
   */
  async all(
    images: AsyncIterable<NamedImage | Fault>,
    count: number,
    readOptions: ReadOptions,
  ): Promise<ExitCode> {
    const format = formats[this.options.format];
    // Rows that appear on the same terminal show the progress themselves.
    const progress = showProgress('Reading', 'images', !this.options.quiet && !process.stdout.isTTY);
    const { maxLabelLength, classes } = finalDecoder(this.reader.model.configuration);
    const logits =
      this.options.logits === undefined ? undefined : new LogitsFile(maxLabelLength + 1, classes);
    const pictures =
      this.options.attention === undefined ? undefined : new AttentionPictures(this.options.attention);
    await print(format.head);
    let failure: Error | undefined;
    try {
      // As the original stops, readings depend on their batch, which must not depend on sizes then.
      const mostPixels = this.options.originalStopping ? Infinity : undefined;
      const batches = batchesOf(this.readable(images, progress), this.options.batchSize, mostPixels);
      for await (const batch of untilInterrupted(batches, this.signal)) {
        this.signal.throwIfAborted();
        const reading = this.reader.readEach(
          batch.map(({ image }) => image),
          readOptions,
        );
        const readings = await orInterrupted(reading, this.signal);
        for (const [index, reading] of readings.entries()) {
          const { name, image } = batch[index]!;
          if (reading instanceof ImageError) {
            this.report({ name, reason: reading.reason }, progress);
            continue;
          }
          await print(format.row(rowOf(name, reading), this.rows));
          this.rows += 1;
          logits?.add(name, reading);
          if (pictures && 'width' in image) await pictures.write(name, image, reading);
        }
        progress.update(this.rows + this.faults, count);
      }
      this.signal.throwIfAborted();
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
    progress.stop();
    liftDeadlines();
    const escapes = failure instanceof Interruption || this.rows === 0;
    if (failure !== undefined && !escapes) this.tellFailure(failure);
    if (logits && this.rows > 0) await this.writeLogits(logits, failure !== undefined);
    await print(format.tail(this.rows));
    if (failure !== undefined && escapes) throw failure;
    if (this.rows === 0) return EXIT_NOTHING;
    return this.faults === 0 ? EXIT_DONE : EXIT_PARTLY;
  }

  /** The images that could be decoded; the others are reported. */
  private async *readable(
    images: AsyncIterable<NamedImage | Fault>,
    progress: Progress,
  ): AsyncGenerator<NamedImage, void> {
    for await (const image of images) {
      if ('image' in image) yield image;
      else this.report(image, progress);
    }
  }

  /** @param cut whether the run ended before its last image, which the file does not show */
  private async writeLogits(logits: LogitsFile, cut: boolean): Promise<void> {
    const path = this.options.logits!;
    try {
      await logits.write(path);
      if (cut) tell(`${printable(path)}: holds the logits of the ${this.rows} images that were read.`);
    } catch (error) {
      this.tellFailure(error);
    }
  }

  private tellFailure(error: unknown): void {
    tell(`error: ${describeError(error)}`);
    this.faults += 1;
  }

  private report(fault: Fault, progress: Progress): void {
    progress.stop();
    tellFault(fault);
    this.faults += 1;
  }
}
