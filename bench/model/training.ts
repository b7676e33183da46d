/** How fast a model is trained, and what that takes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Device, measurePeakFlops } from '../../engine/index.js';
import { Checkpoints, findRunData, presetConfiguration } from '../../train/index.js';
import { TrainingRun } from '../../train/training_run.js';
import { middle } from '../report/middle.js';

const [warmUpSteps, countedSteps] = [2, 5];

/** Whole training steps of a preset on rendered words: data, both branches and optimizer. */
export interface TrainingTimes {
  readonly preset: string;
  readonly settings: readonly string[];
  readonly batchSize: number;
  readonly parameters: number;
  /** Wall time of a step: median, fastest and slowest. */
  readonly stepMs: number;
  readonly fastestMs: number;
  readonly slowestMs: number;
  /** Part of the median step that waited for data. */
  readonly waitMs: number;
  readonly imagesPerSecond: number;
  /** Highest sum of all tensors on the device during a step. */
  readonly peakBytes: number;
  readonly flops: number;
  readonly flopsPerSecond: number;
  /** Share of the multiply-adds a second measured before these steps. */
  readonly utilisation: number;
  readonly dispatches: number;
  readonly submits: number;
}

/**
 * Times a few steps; the first ones, which compile kernels, do not count.
 * @param batchSize images of a forward pass; a step is one of them
 * @param settings options of the recipe, as `trainer.precision=32`
 */
export async function timeTraining(
  device: Device,
  preset: string,
  batchSize: number,
  settings: readonly string[] = [],
): Promise<TrainingTimes> {
  const configuration = presetConfiguration(preset, [
    `model.batch_size=${batchSize}`,
    'data.synthetic.count=4096',
    'data.num_workers=1',
    'trainer.accumulate_grad_batches=1',
    'trainer.max_steps=100',
    ...(preset.startsWith('parseq') ? [] : ['model.visual_first_pct=0']),
    ...settings,
  ]);
  const { source } = await findRunData(configuration);
  // Before the data threads take the cores.
  const peakFlopsPerSecond = await measurePeakFlops(device);
  const folder = await mkdtemp(join(tmpdir(), 'clip4str-training-speed-'));
  let run: TrainingRun | undefined;
  try {
    run = await TrainingRun.open(device, {
      configuration,
      source,
      checkpoints: new Checkpoints(folder),
      onCorrupt: () => {},
      onNotice: () => {},
    });
    const steps: { stepMs: number; waitMs: number; flops: number }[] = [];
    let peakBytes = 0;
    for (let step = 0; step < warmUpSteps + countedSteps; step++) {
      device.resetStatistics();
      const start = performance.now();
      const taken = await run.next();
      const stepMs = performance.now() - start;
      if (step < warmUpSteps) continue;
      peakBytes = Math.max(peakBytes, device.memory.peakBytes);
      steps.push({ stepMs, waitMs: taken!.waitMs, flops: device.counts.flops });
    }
    const { dispatches, submits } = device.counts;
    const { stepMs, waitMs, flops } = middle(steps, (step) => step.stepMs);
    const allMs = steps.map((step) => step.stepMs);
    const flopsPerSecond = (1000 * flops) / stepMs;
    return {
      preset,
      settings,
      batchSize,
      parameters: run.model.parameters.count,
      stepMs,
      fastestMs: Math.min(...allMs),
      slowestMs: Math.max(...allMs),
      waitMs,
      imagesPerSecond: (1000 * batchSize) / stepMs,
      peakBytes,
      flops,
      flopsPerSecond,
      utilisation: flopsPerSecond / peakFlopsPerSecond,
      dispatches,
      submits,
    };
  } finally {
    await run?.close();
    await rm(folder, { recursive: true });
  }
}
