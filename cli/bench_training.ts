/** `bench --training`: how fast training steps of a preset are on this device. */
import type { TrainingReport } from '../bench/model/report.js';
import { comparedRecipe, compareTraining } from '../bench/model/torch_training.js';
import { type TrainingTimes, timeTraining } from '../bench/model/training.js';
import { machineOf } from '../bench/report/machine.js';
import type { Device } from '../engine/index.js';
import { measureEach } from './bench_each.js';
import { type BenchOptions, floatPrecision } from './bench_options.js';
import { compared, torchReport, trainingComparisonText, withTwin } from './bench_torch.js';
import { EXIT_DONE, type ExitCode, UsageError, printable } from './errors.js';
import { watchForInterruption } from './interruption.js';
import { requirePrecision, unitUse, withDevice } from './options.js';
import { formatBytes, formatTable, print } from './output.js';
import { packageVersions } from './package.js';

/** Times training steps of a preset at several batch sizes. */
export async function runTrainingBench(options: BenchOptions): Promise<ExitCode> {
  const preset = options.training!;
  if (options.torch !== undefined) requireTwinOf(preset);
  const signal = watchForInterruption();
  const precision = floatPrecision(options);
  return withTwin(options.torch, signal, (twin) =>
    withDevice(options.device, unitUse(precision, 'all'), async (device): Promise<ExitCode> => {
      if (precision) requirePrecision(device, precision);
      const settings = precision ? [`trainer.precision=${precision === 'f16' ? 16 : 32}`] : [];
      const measured = await measureEach(
        options.batches ?? [8],
        { counted: 'batch sizes', signal, quiet: options.quiet },
        async (batchSize) => ({
          times: await timeTraining(device, preset, batchSize, settings),
          comparison:
            twin &&
            (await compared(batchSize, () => compareTraining(device, twin, preset, batchSize, settings))),
        }),
      );
      const report: TrainingReport = {
        kind: 'training',
        date: new Date().toISOString(),
        machine: machineOf(device, packageVersions()),
        steps: measured.done.map(({ times }) => times),
      };
      const beside = torchReport(twin, measured.done);
      await print(
        options.json
          ? `${JSON.stringify({ ...report, ...beside }, null, 2)}\n`
          : trainingText(device, report.steps),
      );
      if (!options.json && beside.torch) await print(trainingComparisonText(beside.torch));
      if (measured.failure) throw measured.failure;
      return EXIT_DONE;
    }),
  );
}

/** @throws UsageError for a preset of a model that has no twin */
function requireTwinOf(preset: string): void {
  try {
    comparedRecipe(preset, 1, []);
  } catch (error) {
    throw new UsageError(`--torch: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function trainingText(device: Device, steps: readonly TrainingTimes[]): string {
  const rows = steps.map((times) => [
    times.preset,
    String(times.batchSize),
    (times.stepMs / 1000).toFixed(2),
    `${(times.fastestMs / 1000).toFixed(2)} to ${(times.slowestMs / 1000).toFixed(2)}`,
    times.imagesPerSecond.toFixed(2),
    `${((100 * times.waitMs) / times.stepMs).toFixed(0)} %`,
    `${(100 * times.utilisation).toFixed(0)} %`,
    formatBytes(times.peakBytes),
    String(times.dispatches),
    String(times.submits),
  ]);
  const head = [
    'preset',
    'at once',
    's a step',
    'spread',
    'images/s',
    'wait',
    'of peak',
    'memory',
    'dispatches',
    'submits',
  ];
  return `${printable(device.adapter.name)}\n${formatTable([head, ...rows], [1, 2, 3, 4, 5, 6, 7, 8, 9])}`;
}
