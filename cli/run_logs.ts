/** The files of a run beside its checkpoints: its configuration, metrics, TensorBoard's events and the report. */
import { basename, join, resolve } from 'node:path';
import {
  type EndEvent,
  type StartEvent,
  type StepEvent,
  type TrainingConfiguration,
  type TrainingObserver,
  type ValidationEvent,
  configurationText,
} from '../train/index.js';
import { MetricsFile, TensorBoardLog, TrainingHistory, TrainingReport } from '../train/logs/index.js';
import { writeWholeFile } from '../weights/index.js';

export const configurationFile = 'config.yaml';
export const metricsFile = 'metrics.jsonl';

/** Written from when the run has opened: one that fails before leaves the files of the run as they are. */
export class RunLogs implements TrainingObserver {
  private logs: readonly TrainingObserver[] = [];

  constructor(
    private readonly folder: string,
    private readonly configuration: TrainingConfiguration,
    private readonly resume: boolean,
  ) {}

  async start({ step }: StartEvent): Promise<void> {
    const { folder } = this;
    const text = configurationText(this.configuration);
    const resumed = this.resume ? { resumedFrom: step } : {};
    const metricsPath = join(folder, metricsFile);
    const metrics = await MetricsFile.open(metricsPath, resumed);
    await writeWholeFile(join(folder, configurationFile), (file) => file.writeFile(text));
    const history = this.resume ? { history: await TrainingHistory.read(metricsPath, step) } : {};
    const title = `Training in ${basename(resolve(folder))}`;
    this.logs = [
      metrics,
      await TensorBoardLog.open(join(folder, 'tensorboard'), { configuration: text, ...resumed }),
      await TrainingReport.open(join(folder, 'report.html'), { title, configuration: text, ...history }),
    ];
  }

  async step(event: StepEvent): Promise<void> {
    for (const log of this.logs) await log.step?.(event);
  }

  async validation(event: ValidationEvent): Promise<void> {
    for (const log of this.logs) await log.validation?.(event);
  }

  /** @throws Error of the first log that cannot be completed, when the others are */
  async end(event: EndEvent): Promise<void> {
    const results = await Promise.allSettled(this.logs.map(async (log) => log.end?.(event)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}
