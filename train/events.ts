/** What a training run tells whoever watches: the progress line, the logs, the report. */
import type { SetResult } from './accuracy.js';

/** Once the run has opened: its options, data and weights fit together, and nothing of this start is written yet. */
export interface StartEvent {
  /** Optimizer steps done by the checkpoint that it goes on from; 0 for a new run. */
  readonly step: number;
}

/** After each optimizer step. */
export interface StepEvent {
  /** Optimizer steps done, this one included. */
  readonly step: number;
  readonly totalSteps: number;
  readonly epoch: number;
  /** Images trained on so far, over all epochs. */
  readonly images: number;
  readonly loss: number;
  /** Mean cross entropy of the branches over batches and permutations. */
  readonly visualLoss: number;
  readonly crossLoss: number | undefined;
  /** Global norm before it was clipped. */
  readonly gradientNorm: number;
  /** Of each group of parameters. */
  readonly learningRates: readonly number[];
  /** Wall time of the whole step, and the part of it that waited for data. */
  readonly stepMs: number;
  readonly waitMs: number;
  readonly imagesOfStep: number;
  /** Floating-point operations of the step, forward and backward. */
  readonly flops: number;
  /** The most that f32 multiply-adds reach on the device, as measured when it was opened. */
  readonly peakFlopsPerSecond: number;
  /** Device memory held now, and at most during the step. */
  readonly liveBytes: number;
  readonly peakBytes: number;
  /** Whether a gradient was not finite and the step was left out. */
  readonly skipped: boolean;
  readonly lossScale: number;
}

/** One image of a validation, as it was read. */
export interface ValidationSample {
  readonly source: string;
  readonly label: string;
  readonly text: string;
  readonly confidence: number;
  /** The image's file bytes, to be shown. */
  readonly image: Uint8Array;
}

export interface ValidationEvent {
  readonly step: number;
  readonly images: number;
  /** Whether the visual branch read, as the only one that this run has trained so far. */
  readonly visualOnly: boolean;
  readonly sets: readonly SetResult[];
  readonly combined: SetResult;
  /** Images of all sets that cannot be read; they count as nothing. */
  readonly unreadable: number;
  /** A few images, the same ones each time. */
  readonly samples: readonly ValidationSample[];
}

export interface CheckpointEvent {
  readonly step: number;
  readonly path: string;
  readonly kind: 'last' | 'best';
}

export interface EndEvent {
  readonly step: number;
  /** Why the run ended: all steps done, asked to stop by a signal, or a fault. */
  readonly reason: 'complete' | 'stopped' | 'failed';
  readonly message?: string;
}

/** Watches a run; each method is called in order, and the run waits for it. */
export interface TrainingObserver {
  /** Called once, before all that is measured; not where the run fails earlier. */
  start?(event: StartEvent): void | Promise<void>;
  step?(event: StepEvent): void | Promise<void>;
  validation?(event: ValidationEvent): void | Promise<void>;
  checkpoint?(event: CheckpointEvent): void | Promise<void>;
  /** One line about something that does not end the run, as a corrupt image. */
  notice?(message: string): void | Promise<void>;
  end?(event: EndEvent): void | Promise<void>;
}
