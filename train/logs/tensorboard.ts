/**
 * TensorBoard event files, for Node: records framed as TFRecord, each an `Event` of TensorFlow's `event.proto` with a
 * `Summary` of `summary.proto`.
 */
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { fileError } from '../../weights/file_source.js';
import type { StepEvent, TrainingObserver, ValidationEvent } from '../events.js';
import { AppendedFile } from './appended_file.js';
import { crc32c } from './crc32c.js';
import { bytesField, doubleField, floatField, message, varintField } from './protobuf.js';

/** Numbers of the fields of `Event` that are written. */
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;
const SUMMARY = { value: 1 } as const;
const VALUE = { tag: 1, simpleValue: 2, tensor: 8, metadata: 9 } as const;
const METADATA = { pluginData: 1, dataClass: 4 } as const;
const PLUGIN_DATA = { pluginName: 1 } as const;
const TENSOR = { dtype: 1, shape: 2, stringValues: 8 } as const;
const SESSION_LOG = { status: 1 } as const;

const FILE_VERSION = 'brain.Event:2';
const DATA_CLASS_TENSOR = 2;
const DTYPE_STRING = 7;
const SESSION_STARTED = 1;

export interface TensorBoardOptions {
  /** The run's configuration, shown as text. */
  readonly configuration?: string;
  /** Steps done by the checkpoint that the run goes on from: TensorBoard then hides what earlier files say of later ones. */
  readonly resumedFrom?: number;
}

/** Writes scalars of each step and each validation, in a file of its own for each start of a run. */
export class TensorBoardLog implements TrainingObserver {
  #lastStep: number;

  private constructor(
    private readonly file: AppendedFile,
    resumedFrom: number,
  ) {
    this.#lastStep = resumedFrom;
  }

  /**
   * @param folder made where it is missing; files that are there stay
   * @throws CheckpointError if no file can be made in it
   */
  static async open(folder: string, options: TensorBoardOptions = {}): Promise<TensorBoardLog> {
    await mkdir(folder, { recursive: true }).catch((error: unknown) => {
      throw fileError(basename(folder), error);
    });
    const { configuration, resumedFrom } = options;
    const log = new TensorBoardLog(await newEventFile(folder), resumedFrom ?? 0);
    await log.#write(0, bytesField(EVENT.fileVersion, FILE_VERSION));
    if (resumedFrom !== undefined) await log.#restart(resumedFrom + 1);
    if (configuration !== undefined) {
      await log.#write(0, summary(text('configuration', `\`\`\`yaml\n${configuration}\n\`\`\``)));
    }
    return log;
  }

  async step(event: StepEvent): Promise<void> {
    if (event.step <= this.#lastStep) await this.#restart(event.step);
    this.#lastStep = event.step;
    const { stepMs, waitMs, imagesOfStep, flops, peakFlopsPerSecond } = event;
    const seconds = stepMs / 1000;
    await this.#write(
      event.step,
      summary(
        scalar('loss/total', event.loss),
        scalar('loss/visual', event.visualLoss),
        ...(event.crossLoss === undefined ? [] : [scalar('loss/cross', event.crossLoss)]),
        scalar('optimizer/gradient_norm', event.gradientNorm),
        scalar('optimizer/loss_scale', event.lossScale),
        scalar('optimizer/skipped', Number(event.skipped)),
        ...event.learningRates.map((rate, group) => scalar(`learning_rate/group_${group + 1}`, rate)),
        scalar('speed/images_per_second', imagesOfStep / seconds),
        scalar('speed/wait_percent', (100 * waitMs) / stepMs),
        scalar('speed/tera_flops_per_second', flops / seconds / 1e12),
        scalar('speed/utilisation_percent', (100 * flops) / seconds / peakFlopsPerSecond),
        scalar('memory/live_bytes', event.liveBytes),
        scalar('memory/peak_bytes', event.peakBytes),
        scalar('progress/epoch', event.epoch),
        scalar('progress/images', event.images),
      ),
    );
  }

  async validation({ step, visualOnly, sets, combined }: ValidationEvent): Promise<void> {
    // Curves of their own: another part of the model read.
    const branch = visualOnly ? 'visual_branch/' : '';
    const results = [
      ...sets.map((set) => ({ ...set, tag: `${branch}set/${set.name}` })),
      { ...combined, tag: `${branch}combined` },
    ];
    await this.#write(
      step,
      summary(
        ...results.flatMap(({ tag, accuracy, ned, confidence }) => [
          scalar(`accuracy/${tag}`, accuracy),
          scalar(`ned/${tag}`, ned),
          scalar(`confidence/${tag}`, confidence),
        ]),
      ),
    );
  }

  async end(): Promise<void> {
    await this.file.close();
  }

  /** Says that what was written of this step and later ones is void. */
  async #restart(step: number): Promise<void> {
    await this.#write(step, bytesField(EVENT.sessionLog, varintField(SESSION_LOG.status, SESSION_STARTED)));
  }

  async #write(step: number, content: Uint8Array): Promise<void> {
    const event = message(
      doubleField(EVENT.wallTime, Date.now() / 1000),
      varintField(EVENT.step, step),
      content,
    );
    await this.file.append(framed(event));
  }
}

/** TensorBoard reads the files of a folder by the order of their names, and knows them by `tfevents`. */
async function newEventFile(folder: string): Promise<AppendedFile> {
  const seconds = Math.floor(Date.now() / 1000);
  const host = hostname().replace(/[^\w.-]/g, '_');
  for (let number = 0; ; number++) {
    const name = `events.out.tfevents.${seconds}.${host}.${process.pid}.${number}`;
    try {
      return await AppendedFile.open(join(folder, name), 'wx');
    } catch (error) {
      const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
      if (cause?.code !== 'EEXIST') throw error;
    }
  }
}

/** A TFRecord: the data's length and the length's check sum, the data and its check sum. */
function framed(data: Uint8Array): Uint8Array {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(data.length));
  return message(length, maskedCrc(length), data, maskedCrc(data));
}

/** Rotated and shifted, so that the check sum of data that holds check sums is sound. */
function maskedCrc(bytes: Uint8Array): Uint8Array {
  const crc = crc32c(bytes);
  const masked = Buffer.alloc(4);
  masked.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  return masked;
}

function summary(...values: readonly Uint8Array[]): Uint8Array {
  return bytesField(EVENT.summary, message(...values.map((value) => bytesField(SUMMARY.value, value))));
}

function scalar(tag: string, value: number): Uint8Array {
  return message(bytesField(VALUE.tag, tag), floatField(VALUE.simpleValue, value));
}

/** Text for TensorBoard's text page, which reads it as Markdown. */
function text(tag: string, markdown: string): Uint8Array {
  return message(
    bytesField(VALUE.tag, tag),
    bytesField(
      VALUE.tensor,
      message(
        varintField(TENSOR.dtype, DTYPE_STRING),
        bytesField(TENSOR.shape, message()),
        bytesField(TENSOR.stringValues, markdown),
      ),
    ),
    bytesField(
      VALUE.metadata,
      message(
        bytesField(METADATA.pluginData, bytesField(PLUGIN_DATA.pluginName, 'text')),
        varintField(METADATA.dataClass, DATA_CLASS_TENSOR),
      ),
    ),
  );
}
