/** A training run from its first step, or its last checkpoint, to its end. */
import { type Device, DeviceLostError, measurePeakFlops } from '../engine/index.js';
import { Checkpoints } from './checkpoints.js';
import type { DataSource } from './data/data_source.js';
import type { CorruptSample } from './data/loader.js';
import type { CheckpointEvent, EndEvent, StepEvent, TrainingObserver } from './events.js';
import { type TakenStep, TrainingRun } from './training_run.js';
import type { TrainingConfiguration } from './configuration_schema.js';
import { Validation, type ValidationSet } from './validation.js';

export interface TrainingOptions {
  readonly configuration: TrainingConfiguration;
  /** Folder of the checkpoints; made if it is not there. A run goes on from the last one in it. */
  readonly folder: string;
  /** Labels are of the training charset and no longer than the model's positions. */
  readonly source: DataSource;
  /** Without any there is no validation and no best checkpoint. */
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
 * @throws Error in one line: no data, weights that do not fit, no memory, a loss that is not finite, a full disk
 */
export async function train(options: TrainingOptions): Promise<EndEvent> {
  const trainer = new Trainer(options, await Checkpoints.open(options.folder));
  try {
    const end = await trainer.run();
    await trainer.tell('end', end);
    return end;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    await trainer.tell('end', { step: trainer.step, reason: 'failed', message });
    throw error;
  }
}

class Trainer {
  /** Optimizer steps done. */
  step = 0;
  private saved = -1;
  private validated = -1;

  constructor(
    private readonly options: TrainingOptions,
    private readonly checkpoints: Checkpoints,
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
        if (!lost || losses >= mostLosses) throw error;
        const from = this.saved < 0 ? 'the start' : `step ${this.saved}`;
        await this.tell('notice', `${lost.message} Going on from ${from} on another one.`);
      } finally {
        device.close();
      }
    }
  }

  async tell<K extends keyof TrainingObserver>(
    kind: K,
    event: Parameters<NonNullable<TrainingObserver[K]>>[0],
  ): Promise<void> {
    for (const observer of this.options.observers) {
      await (observer[kind] as ((event: unknown) => void | Promise<void>) | undefined)?.call(observer, event);
    }
  }

  private async runOn(device: Device): Promise<EndEvent> {
    const { configuration, source, validation: sets } = this.options;
    const onCorrupt = ({ source: name, reason }: CorruptSample): void => {
      void this.tell('notice', `${name}: ${reason}; another image stands in for it.`);
    };
    const run = await TrainingRun.open(device, {
      configuration,
      source,
      checkpoints: this.checkpoints,
      onCorrupt,
    });
    try {
      const peakFlopsPerSecond = await measurePeakFlops(device);
      this.step = run.step;
      if (run.step > 0) this.saved = run.step;
      const validation = await Validation.open(device, run.model, sets, {
        batchSize: configuration.model.batch_size,
        threads: 1,
        onCorrupt,
      });
      try {
        return await this.steps(device, run, validation, peakFlopsPerSecond);
      } finally {
        await validation.close();
      }
    } finally {
      await run.close();
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
    while (!run.done && !signal?.aborted) {
      const startedAt = performance.now();
      device.resetStatistics();
      const epoch = run.epoch;
      const taken = await run.next();
      if (!taken) break;
      this.step = run.step;
      const stepMs = performance.now() - startedAt;
      await this.tell('step', { ...stepEvent(run, taken, epoch, device), stepMs, peakFlopsPerSecond });
      if (taken.report.skipped) {
        await this.tell('notice', `step ${run.step}: a gradient is not finite; no weight was changed.`);
      }
      if (run.step % validateEvery === 0) await this.validate(run, validation);
      if (run.step % saveEvery === 0) await this.save(run);
    }
    if (!signal?.aborted) {
      await this.validate(run, validation);
      const averaged = await run.saveAverage(this.checkpoints);
      if (averaged !== undefined) {
        await this.tell('notice', `${averaged} is the average of the last epochs' weights.`);
      }
    }
    await this.save(run);
    return { step: run.step, reason: signal?.aborted ? 'stopped' : 'complete' };
  }

  private async save(run: TrainingRun): Promise<void> {
    if (this.saved === run.step) return;
    const path = await run.save(this.checkpoints);
    this.saved = run.step;
    await this.tellCheckpoint(run, path, 'last');
  }

  private async validate(run: TrainingRun, validation: Validation): Promise<void> {
    const { signal, validation: sets } = this.options;
    if (sets.length === 0 || this.validated === run.step) return;
    let result;
    try {
      result = await validation.run(signal);
    } catch (error) {
      // The run is to stop: what was read so far says nothing.
      if (signal?.aborted) return;
      throw error;
    }
    this.validated = run.step;
    await this.tell('validation', { step: run.step, images: run.images, ...result });
    if (run.best !== null && result.combined.accuracy <= run.best) return;
    run.best = result.combined.accuracy;
    await this.tellCheckpoint(run, await run.saveBest(this.checkpoints), 'best');
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
