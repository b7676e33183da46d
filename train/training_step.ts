/** One optimizer step: losses of one or several batches, their gradients, and the change of the parameters. */
import {
  AdamW,
  type Device,
  type GradientControl,
  Muon,
  type OptimizedGroup,
  type Optimizer,
  type Tensor,
  backward,
  controlGradients,
  scale,
} from '../engine/index.js';
import { finalDecoder } from '../model/index.js';
import type { ParameterGroup } from './parameter_groups.js';
import { type PermutedLossOptions, permutedLoss, rehearsePermutedLoss } from './permuted_loss.js';
import { type TrainingTargets, trainingTargets } from './targets.js';
import type { TrainableModel } from './trainable_model.js';

/** Images with their labels, and the orders in which their characters are predicted. */
export interface TrainingBatch {
  /** `[batch, 3, height, width]`, normalised. */
  readonly pixels: Float32Array<ArrayBuffer>;
  readonly labels: readonly string[];
  readonly permutations: readonly (readonly number[])[];
}

/** How gradients are taken. */
export interface GradientOptions extends PermutedLossOptions {
  /**
   * What the sum of the batches' gradients is divided by: their number unless given. An epoch's last step has fewer batches
   * than others, and the original divides by the same number there.
   */
  readonly accumulation?: number;
  /** Computes with f16 copies of the matrices, where the adapter has f16. */
  readonly halfPrecision?: boolean;
  /** What the loss is multiplied by before its gradients are taken, so that f16 holds them. */
  readonly lossScale?: number;
  /** Called between the forward and the backward pass of each batch. */
  readonly onForward?: () => void;
}

/** How gradients are taken, and what is done with them. */
export interface StepOptions extends GradientOptions {
  /** Learning rate of each group, in their order. */
  readonly learningRates: readonly number[];
  /** Gradients of a larger global norm are scaled down to it. */
  readonly maxGradientNorm?: number;
}

export interface StepReport {
  /** Mean over the batches. */
  readonly loss: number;
  /** Of each batch and permutation. */
  readonly visualLosses: readonly (readonly number[])[];
  readonly crossLosses: readonly (readonly number[])[];
  /** Global norm before it was clipped. */
  readonly gradientNorm: number;
  /** Whether a gradient was not finite, and no parameter changed. */
  readonly skipped: boolean;
}

type BatchLosses = readonly [loss: Tensor, visual: Tensor, cross: Tensor | undefined];

/** The parameters that a model is trained by, and the optimizers that change them. */
export class TrainingStep {
  /** Groups in the order given, as each optimizer sees them. */
  readonly groups: readonly OptimizedGroup[];
  readonly optimizers: Readonly<Record<'adamw' | 'muon', Optimizer | undefined>>;
  private readonly device: Device;

  constructor(
    private readonly model: TrainableModel,
    groups: readonly ParameterGroup[],
    adamW: { readonly betas: readonly [number, number]; readonly epsilon: number },
  ) {
    this.device = model.device;
    this.groups = groups.map(({ names, maxLearningRate, weightDecay }) => ({
      parameters: new Map(names.map((name) => [name, model.parameters.get(name).requireGradient()])),
      learningRate: maxLearningRate,
      weightDecay,
    }));
    const of = (optimizer: ParameterGroup['optimizer']): OptimizedGroup[] =>
      this.groups.filter((_, i) => groups[i]!.optimizer === optimizer && groups[i]!.names.length > 0);
    const [plain, matrices] = [of('adamw'), of('muon')];
    this.optimizers = {
      adamw: plain.length > 0 ? new AdamW(plain, adamW) : undefined,
      muon: matrices.length > 0 ? new Muon(matrices) : undefined,
    };
  }

  /**
   * Adds up the gradients of the batches and changes the parameters once. What the device cannot do may be told after some of
   * them were changed: they mean nothing then.
   * @throws Error for labels that cannot be trained on; see `trainingTargets`
   */
  async run(batches: readonly TrainingBatch[], options: StepOptions): Promise<StepReport> {
    const { device } = this;
    return device.scope(async () => {
      const losses = await this.addGradientsOf(batches, options);
      this.groups.forEach((group, i) => (group.learningRate = options.learningRates[i]!));
      const { control, optimizers } = this.changeParameters(options);

      const flat = losses.flatMap((tensors) => tensors.filter((tensor) => tensor !== undefined));
      const [norm, skip, ...read] = await device.readAll([control.norm, control.skip, ...flat]);
      const skipped = skip![0] !== 0;
      if (skipped) for (const optimizer of optimizers) optimizer.discountStep();
      const next = (tensor: Tensor | undefined): number[] => (tensor ? [...read.shift()!] : []);
      const values = losses.map((own) => own.map(next) as [number[], number[], number[]]);
      return {
        loss: values.reduce((sum, [[loss]]) => sum + loss!, 0) / values.length,
        visualLosses: values.map(([, visual]) => visual),
        crossLosses: values.map(([, , cross]) => cross),
        gradientNorm: norm![0]!,
        skipped,
      };
    });
  }

  /**
   * Adds up the gradients of the batches, without a step.
   * @returns of each batch its loss and the mean losses of its permutations
   */
  async addGradientsOf(batches: readonly TrainingBatch[], options: GradientOptions): Promise<BatchLosses[]> {
    return this.device.scope(async () => {
      const losses: BatchLosses[] = [];
      for (const batch of batches) {
        const add = (): Promise<BatchLosses> =>
          this.addGradients(batch, options.accumulation ?? batches.length, options);
        losses.push(await this.inPrecision(options, add));
      }
      return losses;
    });
  }

  /**
   * Dispatches what the gradients of a batch take, and waits for nothing: for work that is only rehearsed. The gradients
   * mean nothing; clear them.
   */
  rehearseGradientsOf(batch: TrainingBatch, options: GradientOptions): void {
    this.inPrecision(options, () =>
      this.device.scope(() => {
        const { loss } = rehearsePermutedLoss(...this.lossInputs(batch), options);
        this.sendBack(loss, options.accumulation ?? 1, options);
      }),
    );
  }

  /** Makes the states of the optimizers, which the first step makes else: those that a rehearsal makes are never filled. */
  allocateStates(): void {
    for (const optimizer of Object.values(this.optimizers)) void optimizer?.state;
  }

  /** Compiles what a step with such batches dispatches, side by side. Gradients of before are cleared. */
  async compile(batches: readonly TrainingBatch[], options: GradientOptions): Promise<void> {
    this.allocateStates();
    await this.device.compile(() => {
      for (const batch of batches) this.rehearseGradientsOf(batch, options);
      this.rehearseStep(options);
    });
  }

  /** Dispatches what a step takes beside its gradients, which must be there and are cleared: for work that is only rehearsed. */
  rehearseStep(options: GradientOptions): void {
    for (const optimizer of this.changeParameters(options).optimizers) optimizer.discountStep();
  }

  clearGradients(): void {
    for (const parameter of this.parameters()) parameter.clearGradient();
  }

  dispose(): void {
    for (const optimizer of Object.values(this.optimizers)) optimizer?.dispose();
    for (const parameter of this.parameters()) parameter.requireGradient(false);
  }

  private parameters(): Tensor[] {
    return this.groups.flatMap(({ parameters }) => [...parameters.values()]);
  }

  private async addGradients(
    batch: TrainingBatch,
    accumulation: number,
    options: GradientOptions,
  ): Promise<BatchLosses> {
    return this.device.scope(async () => {
      const { loss, visual, cross } = await permutedLoss(...this.lossInputs(batch), options);
      this.sendBack(loss, accumulation, options);
      return [loss.detach(), visual, cross] as const;
    });
  }

  /** Runs work on a batch with f16 copies where they are asked for: gradients are added up in the f32 originals. */
  private inPrecision<T>({ halfPrecision }: GradientOptions, work: () => T): T {
    const half = halfPrecision === true && this.device.traits.f16;
    return half ? this.model.parameters.withHalfCopies(work) : work();
  }

  private lossInputs({
    pixels,
    labels,
    permutations,
  }: TrainingBatch): [TrainableModel, Tensor, TrainingTargets, TrainingBatch['permutations']] {
    const { device, model } = this;
    const { imageSize } = model.configuration.image;
    const { maxLabelLength } = finalDecoder(model.configuration);
    const targets = trainingTargets(labels, model.tokenizer, maxLabelLength);
    return [model, device.tensor(pixels, [labels.length, 3, ...imageSize]), targets, permutations];
  }

  private sendBack(loss: Tensor, accumulation: number, { onForward, lossScale = 1 }: GradientOptions): void {
    onForward?.();
    backward(scale(loss, lossScale / accumulation));
  }

  /** Changes the parameters by their gradients, which are cleared. */
  private changeParameters({
    maxGradientNorm,
    lossScale,
  }: Pick<StepOptions, 'maxGradientNorm' | 'lossScale'>): {
    readonly control: GradientControl;
    readonly optimizers: readonly Optimizer[];
  } {
    const gradients = this.parameters().flatMap(({ gradient }) => (gradient ? [gradient] : []));
    const control = controlGradients(gradients, {
      ...(maxGradientNorm === undefined ? {} : { maxNorm: maxGradientNorm }),
      ...(lossScale === undefined ? {} : { lossScale }),
    });
    const optimizers = Object.values(this.optimizers).filter((optimizer) => optimizer !== undefined);
    for (const optimizer of optimizers) optimizer.step(control);
    this.clearGradients();
    return { control, optimizers };
  }
}
