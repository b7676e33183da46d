import type { StepEvent, ValidationEvent, ValidationSample } from '../../train/events.js';

/** A step of a made-up run whose loss falls. */
export function stepEvent(step: number, changed: Partial<StepEvent> = {}): StepEvent {
  return {
    step,
    totalSteps: 1000,
    epoch: Math.floor(step / 100),
    images: 64 * step,
    loss: 4 / (1 + step / 50),
    visualLoss: 2.5 / (1 + step / 50),
    crossLoss: 1.5 / (1 + step / 50),
    gradientNorm: 3 + Math.sin(step),
    learningRates: [8.4e-5, 8.4e-5, 1.6e-3],
    stepMs: 250,
    waitMs: 10,
    imagesOfStep: 64,
    flops: 5e11,
    peakFlopsPerSecond: 8e12,
    liveBytes: 2e9,
    peakBytes: 3.2e9,
    skipped: false,
    lossScale: 1024,
    ...changed,
  };
}

/** A validation of a made-up run on two sets. */
export function validationEvent(step: number, samples: readonly ValidationSample[] = []): ValidationEvent {
  const result = (name: string, count: number, accuracy: number) => ({
    name,
    samples: count,
    accuracy,
    ned: accuracy + 5,
    confidence: 90,
    labelLength: 5.5,
  });
  const accuracy = 90 - 80 / (1 + step / 100);
  return {
    step,
    images: 64 * step,
    visualOnly: false,
    sets: [result('IIIT5k', 300, accuracy), result('SVT', 100, accuracy - 4)],
    combined: result('Combined', 400, accuracy - 1),
    unreadable: 0,
    samples,
  };
}

export function sample(changed: Partial<ValidationSample> = {}): ValidationSample {
  return {
    source: 'words/1.png',
    label: 'hello',
    text: 'hello',
    confidence: 0.98,
    image: new Uint8Array(),
    ...changed,
  };
}
