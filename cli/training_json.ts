import type { TrainingObserver } from '../train/index.js';
import { print } from './output.js';

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
