/** A training run from its first step, or its last checkpoint, to its end. */
import { join } from 'node:path';
import { type Device, DeviceLostError, measurePeakFlops } from '../engine/index.js';
import { writeWholeFile } from '../weights/whole_file.js';
import type { DataSource } from './data/data_source.js';
import type { CorruptSample } from './data/loader.js';
import type { CheckpointEvent, EndEvent, StepEvent, TrainingObserver } from './events.js';
import { RunFolder } from './run_folder.js';
import { StepError } from './run_batches.js';
import { type TakenStep, TrainingRun } from './training_run.js';
import type { TrainingConfiguration } from './configuration_schema.js';
import { Validation, type ValidationSet } from './validation.js';

export interface TrainingOptions {
  readonly configuration: TrainingConfiguration;
  /**
   * Folder of the checkpoints; made if it is not there. A run goes on from the last one in it. No other process may use it
   * meanwhile; one that is open already stays open.
   */
  readonly folder: string | RunFolder;
  /** Labels are of the training charset and no longer than the model's positions. */
  readonly source: DataSource;
  /** Without any there is no validation and no best checkpoint. One that cannot be read when the run begins is told of and left out. */
  readonly validation: readonly ValidationSet[];
  readonly observers: readonly TrainingObserver[];
  /** Opens the device to train on; once more each time it is lost. */
  readonly openDevice: () => Promise<Device>;
  /** Asks the run to save and end, between two steps. */
  readonly signal?: AbortSignal | undefined;
}

/** Devices that may be lost without a checkpoint in between before the run gives up. */
const mostLosses = 3;

/**
 * Trains. Every observer is told of how it ended, also when this throws.
 * @returns how the run ended: complete, or stopped by the signal
 * @throws FolderInUseError where another process trains in the folder; Error in one line: no data, weights that do not
 *   fit, no memory, a loss that is not finite, a full disk
 */
export async function train(options: TrainingOptions): Promise<EndEvent> {
  const { folder } = options;
  if (folder instanceof RunFolder) return trainIn(folder, options);
  const opened = await RunFolder.open(folder);
  try {
    return await trainIn(opened, options);
  } finally {
    await opened.close();
  }
}

async function trainIn(folder: RunFolder, options: TrainingOptions): Promise<EndEvent> {
  const trainer = new Trainer(options, folder);
  const faults: unknown[] = [];
  let end: EndEvent;
  try {
    end = await trainer.run();
  } catch (error) {
    faults.push(error);
    end = { step: trainer.step, reason: 'failed', message: messageOf(error) };
  }
  for (const observer of options.observers) {
    try {
      await observer.end?.(end);
    } catch (error) {
      // The others are told all the same, and the first fault is the one that matters.
      faults.push(error);
    }
  }
  if (faults.length > 0) throw faults[0];
  return end;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

class Trainer {
  /** Optimizer steps done. */
  step = 0;
  private notices: Promise<void> = Promise.resolve();
  /** What the first validation found, whatever device the run goes on on. */
  private readableSets: readonly ValidationSet[] | undefined;
  /** Step of the last checkpoint, and the last validation that it knows of. */
  private saved = -1;
  private savedValidation = 0;
  private started = false;

  constructor(
    private readonly options: TrainingOptions,
    private readonly folder: RunFolder,
  ) {}

  /** Runs to the end, on another device where one is lost. */
  async run(): Promise<EndEvent> {
    for (let losses = 0, savedBefore = -1; ;) {
      const device = await this.options.openDevice();
      try {
        return await this.runOn(device);
      } catch (error) {
        const lost = lossOf(error);
        losses = this.saved > savedBefore ? 1 : losses + 1;
        savedBefore = this.saved;
        if (error instanceof StepError) throw await this.withList(error);
        if (!lost || losses >= mostLosses) throw error;
        const from = this.saved < 0 ? 'the start' : `step ${this.saved}`;
        await this.tell('notice', `${lost.message} Going on from ${from} on another one.`);
      } finally {
        device.close();
      }
    }
  }

  /** The error of a step, with a file that lists all that the step was made of. */
  private async withList(error: StepError): Promise<Error> {
    const path = join(this.folder.path, `step-${error.step}.samples.txt`);
    try {
      await this.folder.check();
      await writeWholeFile(path, (file) => file.writeFile(`${error.samples.join('\n')}\n`));
    } catch {
      // The fault itself is what has to be told.
      return error;
    }
    return new Error(`${error.message} All of it is listed in ${path}.`, { cause: error });
  }

  private async tell<K extends keyof TrainingObserver>(
    kind: K,
    event: Parameters<NonNullable<TrainingObserver[K]>>[0],
  ): Promise<void> {
    for (const observer of this.options.observers) {
      await (observer[kind] as ((event: unknown) => void | Promise<void>) | undefined)?.call(observer, event);
    }
  }

  /** Tells of something that came up where nobody waits; what an observer throws at it ends the run at its next step. */
  private notify(message: string): void {
    this.notices = this.notices.then(() => this.tell('notice', message));
    this.notices.catch(() => undefined);
  }

  private async runOn(device: Device): Promise<EndEvent> {
    const { configuration, source, validation: sets } = this.options;
    const notifyOf =
      (consequence: string) =>
      ({ source: name, reason }: CorruptSample): void =>
        this.notify(`${name}: ${reason}; ${consequence}.`);
    // Before the data threads take the cores.
    const peakFlopsPerSecond = await measurePeakFlops(device);
    const run = await TrainingRun.open(device, {
      configuration,
      source,
      checkpoints: this.folder.checkpoints,
      onCorrupt: notifyOf('another image stands in for it'),
      onNotice: (notice) => this.notify(notice),
    });
    try {
      this.step = run.step;
      this.saved = run.step > 0 ? run.step : -1;
      this.savedValidation = run.validated;
      const validationOptions = {
        batchSize: configuration.model.batch_size,
        threads: 1,
        onCorrupt: notifyOf('nothing is validated on it'),
        onNotice: (notice: string) => this.notify(notice),
      };
      const validation = await Validation.open(device, run.model, sets, validationOptions, this.readableSets);
      this.readableSets = validation.readable;
      try {
        await this.notices;
        if (!this.started) await this.start(run, validation);
        this.started = true;
        return await this.steps(device, run, validation, peakFlopsPerSecond);
      } finally {
        await validation.close();
      }
    } finally {
      await run.close();
    }
  }

  private async start(run: TrainingRun, validation: Validation): Promise<void> {
    await this.tell('start', { step: run.step });
    const aside = run.step === 0 ? await this.folder.checkpoints.setModelsAside() : [];
    if (aside.length > 0) {
      await this.tell('notice', `models that were in the folder are kept as ${aside.join(' and ')}.`);
    }
    const { visualSteps } = run.plan;
    if (run.visualOnly && run.step < visualSteps && !validation.isEmpty) {
      await this.tell(
        'notice',
        `until step ${visualSteps} the visual branch trains alone: validation reads with it, and no model is kept as the ` +
          'best.',
      );
    }
  }

  private async steps(
    device: Device,
    run: TrainingRun,
    validation: Validation,
    peakFlopsPerSecond: number,
  ): Promise<EndEvent> {
    const { configuration, signal } = this.options;
    const { val_check_interval: validateEvery, checkpoint_interval: saveEvery } = configuration.trainer;
    // A run that was stopped at a step to be validated has that still to do, once.
    if (run.step > 0 && run.step % validateEvery === 0) {
      await this.validate(run, validation);
      await this.save(run);
    }
    while (!run.done && !signal?.aborted) {
      const startedAt = performance.now();
      device.resetStatistics();
      const epoch = run.epoch;
      const taken = await run.next();
      if (!taken) break;
      this.step = run.step;
      const stepMs = performance.now() - startedAt;
      await this.notices;
      await this.tell('step', { ...stepEvent(run, taken, epoch, device), stepMs, peakFlopsPerSecond });
      if (taken.report.skipped) {
        await this.tell('notice', `step ${run.step}: a gradient is not finite; no weight was changed.`);
      }
      if (run.step % validateEvery === 0) await this.validate(run, validation);
      if (run.step % saveEvery === 0) await this.save(run);
    }
    if (!signal?.aborted) {
      await this.validate(run, validation);
      await this.folder.check();
      const path = await run.saveAverage(this.folder.checkpoints);
      if (path !== undefined) {
        const { count, first } = run.averaged;
        await this.tell(
          'notice',
          `${path} is the average of the weights after ${count} step${count === 1 ? '' : 's'}, from ${first} on.`,
        );
      }
    }
    await this.save(run);
    return { step: run.step, reason: signal?.aborted ? 'stopped' : 'complete' };
  }

  private async save(run: TrainingRun): Promise<void> {
    if (this.saved === run.step && this.savedValidation === run.validated) return;
    await this.folder.check();
    const path = await run.save(this.folder.checkpoints);
    this.saved = run.step;
    this.savedValidation = run.validated;
    await this.tellCheckpoint(run, path, 'last');
  }

  private async validate(run: TrainingRun, validation: Validation): Promise<void> {
    const { signal } = this.options;
    if (validation.isEmpty || run.validated === run.step) return;
    let result;
    try {
      result = await validation.run({ signal, visualOnly: run.visualOnly });
    } catch (error) {
      // The run is to stop: what was read so far says nothing.
      if (signal?.aborted) return;
      throw error;
    }
    if (!result) return;
    run.validated = run.step;
    const { step, images, visualOnly } = run;
    const { complete, ...event } = result;
    await this.tell('validation', { step, images, visualOnly, ...event });
    // The other decoder, which the whole model reads with, has not been trained by this run yet. Sets that others were compared
    // by are missing.
    if (visualOnly || !complete) return;
    if (run.best !== null && result.combined.accuracy <= run.best) return;
    run.best = result.combined.accuracy;
    await this.folder.check();
    await this.tellCheckpoint(run, await run.saveBest(this.folder.checkpoints), 'best');
  }

  private tellCheckpoint({ step }: TrainingRun, path: string, kind: CheckpointEvent['kind']): Promise<void> {
    return this.tell('checkpoint', { step, path, kind });
  }
}

function stepEvent(
  { step, plan, images }: TrainingRun,
  { report, batches, learningRates, waitMs, lossScale }: TakenStep,
  epoch: number,
  device: Device,
): Omit<StepEvent, 'stepMs' | 'peakFlopsPerSecond'> {
  const { liveBytes, peakBytes } = device.memory;
  const cross = report.crossLosses.flat();
  return {
    step,
    totalSteps: plan.totalSteps,
    epoch,
    images,
    loss: report.loss,
    visualLoss: meanOf(report.visualLosses.flat()),
    crossLoss: cross.length > 0 ? meanOf(cross) : undefined,
    gradientNorm: report.gradientNorm,
    learningRates,
    waitMs,
    imagesOfStep: batches.reduce((sum, { labels }) => sum + labels.length, 0),
    flops: device.counts.flops,
    liveBytes,
    peakBytes,
    skipped: report.skipped,
    lossScale,
  };
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The loss of the device that an error came from, also where another names the work that failed by it. */
function lossOf(error: unknown): DeviceLostError | undefined {
  if (error instanceof DeviceLostError) return error;
  return error instanceof Error && error.cause !== undefined ? lossOf(error.cause) : undefined;
}
