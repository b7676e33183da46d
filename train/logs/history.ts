/** What a run has measured so far, thinned so that it stays small however long the run. */
import type { StepEvent, ValidationEvent } from '../events.js';
import { readMetrics } from './metrics_lines.js';
import { StepGroup } from './step_group.js';

/** A validation without its samples. */
export type ValidationResults = Omit<ValidationEvent, 'samples'>;

/** Most points that a curve has. */
const mostPoints = 2000;

/** Gathers steps and validations; those that are done again after a fault replace the earlier ones. */
export class TrainingHistory {
  #groups: StepGroup[] = [];
  #stepsOfGroup = 1;
  #validations: ValidationResults[] = [];
  #last: StepEvent | undefined;

  /**
   * The history that a metrics file holds.
   * @param resumedFrom later steps are left out
   * @throws CheckpointError if it is no metrics file
   */
  static async read(path: string, resumedFrom: number): Promise<TrainingHistory> {
    const history = new TrainingHistory();
    for await (const { metrics } of readMetrics(path)) {
      if (metrics.step > resumedFrom) continue;
      if (metrics.kind === 'step') history.addStep(metrics);
      else history.addValidation(metrics);
    }
    return history;
  }

  addStep(event: StepEvent): void {
    if (this.#last && event.step <= this.#last.step) this.#forgetFrom(event.step);
    this.#last = event;
    let group = this.#groups.at(-1);
    if (!group || group.steps >= this.#stepsOfGroup) {
      if (this.#groups.length === mostPoints) this.#halve();
      group = new StepGroup();
      this.#groups.push(group);
    }
    group.add(event);
  }

  addValidation({ step, images, visualOnly, sets, combined, unreadable }: ValidationResults): void {
    this.#validations = this.#validations.filter((earlier) => earlier.step < step);
    this.#validations.push({ step, images, visualOnly, sets, combined, unreadable });
  }

  /** Neighbouring steps taken together, in order; at most 2000 of them. */
  get groups(): readonly StepGroup[] {
    return this.#groups;
  }

  /** All validations, in order. */
  get validations(): readonly ValidationResults[] {
    return this.#validations;
  }

  get lastStep(): StepEvent | undefined {
    return this.#last;
  }

  /** The validation with the highest accuracy over all sets, the first of equal ones; of whole models, if there is one. */
  get best(): ValidationResults | undefined {
    const whole = this.#validations.filter(({ visualOnly }) => !visualOnly);
    return (whole.length > 0 ? whole : this.#validations).reduce<ValidationResults | undefined>(
      (best, next) => (best && best.combined.accuracy >= next.combined.accuracy ? best : next),
      undefined,
    );
  }

  /** Steps of the last group that are done again count twice in its means, which they do not change. */
  #forgetFrom(step: number): void {
    this.#groups = this.#groups.filter(({ firstStep }) => firstStep < step);
    this.#validations = this.#validations.filter((validation) => validation.step < step);
  }

  #halve(): void {
    this.#stepsOfGroup *= 2;
    this.#groups = this.#groups.flatMap((group, index) => {
      if (index % 2 === 1) return [];
      const next = this.#groups[index + 1];
      return [next ? group.joined(next) : group];
    });
  }
}
