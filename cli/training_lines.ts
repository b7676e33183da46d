/** What a training run tells on the streams of its command. */
import type { StepEvent, TrainingObserver, ValidationEvent } from '../train/index.js';
import { printable } from './errors.js';
import { formatBytes, print, tell } from './output.js';

/** Lines for people, on the standard error: steps on a terminal alone, all else always. */
export function trainingLines(): TrainingObserver {
  const steps: TrainingObserver = process.stderr.isTTY ? { step: (event) => tell(stepLine(event)) } : {};
  return {
    ...steps,
    validation: (event) => tell(validationLine(event)),
    checkpoint: ({ path, kind }) => tell(`${kind === 'best' ? 'best so far' : 'saved'}: ${printable(path)}`),
    notice: (message) => tell(printable(message)),
  };
}

/** Every event as a line of JSON on the standard output; images are left out. */
export function trainingJson(): TrainingObserver {
  const line = (event: string, values: object): Promise<void> =>
    print(`${JSON.stringify({ event, ...values })}\n`);
  return {
    step: (event) => line('step', event),
    validation: ({ samples, ...event }) =>
      line('validation', {
        ...event,
        samples: samples.map(({ source, label, text, confidence }) => ({ source, label, text, confidence })),
      }),
    checkpoint: (event) => line('checkpoint', event),
    notice: (message) => line('notice', { message }),
    end: (event) => line('end', event),
  };
}

function stepLine(event: StepEvent): string {
  const { step, totalSteps, loss, learningRates, imagesOfStep, stepMs, waitMs, peakBytes } = event;
  return [
    `step ${step} of ${totalSteps}`,
    `loss ${loss.toFixed(4)}`,
    `learning rate ${Math.max(...learningRates).toExponential(2)}`,
    `${((1000 * imagesOfStep) / stepMs).toFixed(1)} images/s`,
    `${Math.round((100 * waitMs) / stepMs)} % waiting for data`,
    formatBytes(peakBytes),
  ].join(', ');
}

function validationLine({ step, combined: { samples, accuracy, ned } }: ValidationEvent): string {
  return `validation after step ${step}: accuracy ${accuracy.toFixed(2)} %, 1-NED ${ned.toFixed(2)} % of ${samples} images`;
}
