/**
 * Times whole training steps, data and all, on rendered words:
 *
 *     node dist/bench/training_speed.js tiny:96 base:1 [--device <name>] [--output bench/results/training_speed.json]
 *
 * Each argument is a preset of `train`, the images of a forward pass, and optionally options of the recipe, as in
 * `tiny:96:trainer.precision=32`. A step is one optimizer step of both branches; the first ones, which compile
 * kernels, do not count.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Device, measurePeakFlops, openDevice } from '../engine/index.js';
import { Checkpoints, findRunData, presetConfiguration } from '../train/index.js';
import { TrainingRun } from '../train/training_run.js';
import { versionOf } from '../cli/package.js';

const [warmUpSteps, countedSteps] = [2, 5];

interface StepTimes {
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

async function timeSteps(device: Device, argument: string): Promise<StepTimes> {
  const [preset = '', batchSize = '', ...settings] = argument.split(':');
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
  const run = await TrainingRun.open(device, {
    configuration,
    source,
    checkpoints: new Checkpoints(folder),
    onCorrupt: () => {},
    onNotice: () => {},
  });
  try {
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
    steps.sort((a, b) => a.stepMs - b.stepMs);
    const { stepMs, waitMs, flops } = steps[steps.length >> 1]!;
    const flopsPerSecond = (1000 * flops) / stepMs;
    return {
      preset,
      settings,
      batchSize: Number(batchSize),
      parameters: run.model.parameters.count,
      stepMs,
      fastestMs: steps[0]!.stepMs,
      slowestMs: steps.at(-1)!.stepMs,
      waitMs,
      imagesPerSecond: (1000 * Number(batchSize)) / stepMs,
      peakBytes,
      flops,
      flopsPerSecond,
      utilisation: flopsPerSecond / peakFlopsPerSecond,
      dispatches,
      submits,
    };
  } finally {
    await run.close();
    await rm(folder, { recursive: true });
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { device: { type: 'string' }, output: { type: 'string' } },
});
const device = await openDevice({
  ...(values.device === undefined ? {} : { device: values.device }),
  hideDriverWarnings: true,
});
const results: StepTimes[] = [];
for (const argument of positionals.length > 0 ? positionals : ['tiny:96', 'base:1']) {
  const times = await timeSteps(device, argument);
  results.push(times);
  const { stepMs, fastestMs, slowestMs, imagesPerSecond, peakBytes, flopsPerSecond, utilisation } = times;
  console.log(
    `${argument}: ${stepMs.toFixed(0)} ms a step (${fastestMs.toFixed(0)} to ${slowestMs.toFixed(0)}), ` +
      `${imagesPerSecond.toFixed(2)} images/s, ${(peakBytes / 1e6).toFixed(0)} MB, ` +
      `${(flopsPerSecond / 1e9).toFixed(1)} GFLOP/s (${(100 * utilisation).toFixed(0)} % of peak)`,
  );
}
if (values.output !== undefined) {
  const result = {
    date: new Date().toISOString(),
    adapter: device.adapter.name,
    driver: device.info.description,
    cpu: `${cpus().length} x ${cpus()[0]!.model}`,
    node: process.version,
    webgpu: versionOf('webgpu'),
    countedSteps,
    results,
  };
  await writeFile(values.output, `${JSON.stringify(result, null, 2)}\n`);
}
device.close();
