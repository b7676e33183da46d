/** The report of a run: `report.html`, for Node. */
import { readFile } from 'node:fs/promises';
import { writeWholeFile } from '../../weights/whole_file.js';
import type { EndEvent, StepEvent, TrainingObserver, ValidationEvent } from '../events.js';
import { TrainingHistory } from './history.js';
import { earlierSampleReadings, reportPage, sampleReadings } from './report_page.js';

export interface TrainingReportOptions {
  readonly title: string;
  /** The resolved configuration as YAML. */
  readonly configuration: string;
  /** What the run measured before it was resumed. */
  readonly history?: TrainingHistory;
}

/** Writes an HTML page with curves, results and sample readings at each validation and at the end, whole or not at all. */
export class TrainingReport implements TrainingObserver {
  readonly #history: TrainingHistory;

  private constructor(
    private readonly path: string,
    private readonly options: TrainingReportOptions,
    private samples: string,
  ) {
    this.#history = options.history ?? new TrainingHistory();
  }

  /**
   * Goes on with the sample readings of the page that is there, where the run goes on.
   * @param path of the page; its folder must be there
   */
  static async open(path: string, options: TrainingReportOptions): Promise<TrainingReport> {
    const lastStep = options.history?.lastStep?.step;
    if (lastStep === undefined) return new TrainingReport(path, options, '');
    const page = await readFile(path, 'utf8').catch(() => '');
    return new TrainingReport(path, options, earlierSampleReadings(page, lastStep));
  }

  step(event: StepEvent): void {
    this.#history.addStep(event);
  }

  /** @throws CheckpointError if the page cannot be written */
  async validation(event: ValidationEvent): Promise<void> {
    this.#history.addValidation(event);
    this.samples = sampleReadings(event);
    await this.#write();
  }

  /** @throws CheckpointError if the page cannot be written */
  async end(event: EndEvent): Promise<void> {
    await this.#write(event);
  }

  async #write(end?: EndEvent): Promise<void> {
    const { title, configuration } = this.options;
    const page = await reportPage({
      title,
      configuration,
      history: this.#history,
      sampleReadings: this.samples,
      end,
    });
    await writeWholeFile(this.path, (file) => file.writeFile(page));
  }
}
