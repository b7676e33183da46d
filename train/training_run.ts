/** One run on one device: everything that changes from step to step, and how it is saved and restored. */
import { type Device, RandomGenerator, type Tensor, dropout } from '../engine/index.js';
import { Parameters, storedConfiguration } from '../model/index.js';
import type { TrainingConfiguration } from './configuration_schema.js';
import { type Checkpoints, restoreTensors } from './checkpoints.js';
import { crossOptions, startCrossDecoder } from './cross_branch.js';
import { type Batch, Loader } from './data/loader.js';
import { LossScale } from './loss_scale.js';
import { type MemoryForecast, checkMemory, forecastMemory, withinMemory } from './memory_forecast.js';
import type { ParameterGroup } from './parameter_groups.js';
import { drawPermutations } from './permutations.js';
import { readerConfiguration } from './reader_configuration.js';
import { compileSteps } from './rehearsal.js';
import { StepError, type RunBatches, loaderOptions } from './run_batches.js';
import { RunPlan } from './run_plan.js';
import type { RunState } from './run_state.js';
import { openModelWeights } from './stored_model.js';
import { type TrainableModel, isClip4Str, readerOf } from './trainable_model.js';
import { type StepOptions, type StepReport, TrainingStep } from './training_step.js';
import { WeightAverage } from './weight_average.js';

/** Random numbers of a seed: data takes them from the seed alone, initial weights from later streams. */
const permutationStream = 1;

export interface RunInputs extends RunBatches {
  /** Where the run goes on from, if there is a checkpoint. */
  readonly checkpoints: Checkpoints;
  /** Told of checkpoints that are damaged and passed over, and of data that has changed. */
  readonly onNotice: (notice: string) => void;
}

/** What became of a step, and what it was made of. */
export interface TakenStep {
  readonly report: StepReport;
  readonly batches: readonly Batch[];
  readonly learningRates: readonly number[];
  readonly waitMs: number;
  readonly lossScale: number;
}

export class TrainingRun {
  readonly plan: RunPlan;
  /** Optimizer steps done. */
  step: number;
  /** Images trained on. */
  images: number;
  /** Step of the last validation; 0 before the first. */
  validated: number;
  /** Best validation accuracy so far. */
  best: number | null;
  /** Whether the data of the current epoch is used up. */
  private epochEnded = false;
  private readonly groups: readonly ParameterGroup[];
  private readonly training: TrainingStep;
  private readonly permutations: RandomGenerator;
  private readonly lossScale: LossScale;
  private readonly average: WeightAverage;
  /** What is in the average of the weights. */
  averaged: RunState['averaged'];
  private readonly halfPrecision: boolean;
  /** There once the run is open. */
  private forecast: MemoryForecast | undefined;
  private dropoutStreams: number;
  /** Whether the visual branch trains alone no more. */
  private crossStarted: boolean;
  private position: RunState['position'];

  private constructor(
    private readonly device: Device,
    readonly model: TrainableModel,
    private readonly configuration: TrainingConfiguration,
    private readonly loader: Loader,
    state: RunState | undefined,
  ) {
    const { parameters } = model;
    const { model: options, trainer, seed } = configuration;
    model.recomputeBlocks = trainer.gradient_checkpointing;
    this.plan = new RunPlan(configuration, loader.batchesPerEpoch);
    // In an order of their own: that of a file is another after a resumption, and the sum of a norm depends on it.
    const names = [...parameters.entries()].map(([name]) => name).sort();
    const shapes = new Map(names.map((name) => [name, parameters.get(name).shape]));
    this.groups = this.plan.groups(shapes);
    this.training = new TrainingStep(model, this.groups, { betas: options.betas, epsilon: options.eps });
    this.halfPrecision = trainer.precision === 16 && device.traits.f16;
    const trained = this.groups.flatMap(({ names }) =>
      names.map((name) => [name, parameters.get(name)] as const),
    );
    // What another plan has averaged before this one would is none of its average.
    const goesOn = state !== undefined && state.averaged.first > this.plan.averagingStep;
    this.averaged = goesOn ? state.averaged : { count: 0, first: 0, last: 0 };
    this.average = new WeightAverage(new Map(trained), this.averaged.count);
    this.permutations = state
      ? RandomGenerator.fromState(state.permutations)
      : new RandomGenerator(seed, permutationStream);
    this.lossScale = new LossScale(state?.lossScale);
    this.dropoutStreams = state?.dropoutStreams ?? 0;
    this.crossStarted = state?.crossStarted ?? false;
    this.position = state?.position ?? { epoch: 0, sample: 0 };
    this.step = state?.step ?? 0;
    this.images = state?.images ?? 0;
    this.validated = state?.validated ?? 0;
    this.best = state?.best ?? null;
  }

  /**
   * Puts the model on the device, from the last sound checkpoint if there is one, and opens the data.
   * @throws OutOfMemoryError if a step will not fit; Error in one line for data or weights that cannot be used
   */
  static async open(device: Device, inputs: RunInputs): Promise<TrainingRun> {
    const { configuration, checkpoints, onNotice } = inputs;
    const last = await checkpoints.lastSound(onNotice);
    const state = last?.state;
    const reader = await readerConfiguration(configuration, last?.modelPath);
    const weights = await openModelWeights(configuration, reader, last?.modelPath);
    let parameters: Parameters;
    try {
      parameters = await Parameters.load(device, weights, 'f32');
    } finally {
      await weights.close();
    }
    let loader: Loader | undefined;
    let run: TrainingRun | undefined;
    try {
      loader = await Loader.open(loaderOptions(inputs, reader, state));
      if (state && state.samples !== loader.length) {
        onNotice(
          `the training data has ${loader.length} images, and had ${state.samples} when the run was saved: the order of the ` +
            'images is another from here on, and so is the plan of a run by epochs.',
        );
      }
      run = new TrainingRun(device, readerOf(device, parameters, reader), configuration, loader, state);
      await run.restore(last?.statePath, state);
      await run.prepare();
      return run;
    } catch (error) {
      if (run) await run.close().catch(() => undefined);
      else {
        await loader?.close();
        parameters.dispose();
      }
      throw error;
    }
  }

  get done(): boolean {
    return this.step >= this.plan.totalSteps;
  }

  get epoch(): number {
    return this.position.epoch;
  }

  /** Whether the visual branch is the only one that this run has trained so far. */
  get visualOnly(): boolean {
    return isClip4Str(this.configuration) && !this.crossStarted;
  }

  /**
   * Takes the next step.
   * @returns undefined if the data ends before the plan does
   * @throws StepError naming the data if the loss, or the gradient in f32, is not finite; OutOfMemoryError that proposes a
   *   smaller batch
   */
  next(): Promise<TakenStep | undefined> {
    return withinMemory(this.forecast!, this.configuration, this.device, () => this.takeStep());
  }

  /** Saves everything. @returns path of the model */
  save(checkpoints: Checkpoints): Promise<string> {
    return checkpoints.save(
      {
        model: new Map(this.model.parameters.entries()),
        hyperParameters: this.hyperParameters(),
        stateTensors: this.stateTensors(),
        state: this.state(),
      },
      this.configuration.trainer.checkpoints_kept,
    );
  }

  /** Saves the model alone. @returns its path */
  saveBest(checkpoints: Checkpoints): Promise<string> {
    return checkpoints.saveModel('best', new Map(this.model.parameters.entries()), this.hyperParameters());
  }

  /** Saves the average of the weights, those of now in it. @returns its path, or undefined where there is none */
  async saveAverage(checkpoints: Checkpoints): Promise<string | undefined> {
    if (!this.plan.averages) return undefined;
    // A run that goes on with an earlier end may have that behind it.
    if (this.averaged.last !== this.step) this.takeIntoAverage();
    const tensors = new Map([...this.model.parameters.entries(), ...this.average.state]);
    return checkpoints.saveModel('averaged', tensors, this.hyperParameters());
  }

  async close(): Promise<void> {
    await this.loader.close();
    this.average.dispose();
    this.training.dispose();
    this.model.dispose();
  }

  private get crossFromVisual(): boolean {
    return isClip4Str(this.configuration) && this.configuration.model.cross_from_visual;
  }

  private async takeStep(): Promise<TakenStep | undefined> {
    const { plan, step, lossScale } = this;
    if (!this.crossStarted && step >= plan.visualSteps) {
      if (step > 0 && this.crossFromVisual) startCrossDecoder(this.model);
      this.crossStarted = true;
    }
    const batches = await this.batchesOfStep();
    if (batches.length === 0) return undefined;
    const learningRates = plan.learningRates(step, this.groups);
    const scale = this.halfPrecision ? lossScale.value : 1;
    const report = await this.training.run(
      batches.map((batch) => ({ ...batch, permutations: this.drawFor(batch) })),
      { ...this.stepOptions(), learningRates, visualOnly: !this.crossStarted, lossScale: scale },
    );
    const fail = (fault: string): never => {
      throw new StepError(step + 1, fault, batches, this.stepAdvice());
    };
    if (!Number.isFinite(report.loss)) fail(`loss is ${report.loss}`);
    // In f16 a gradient may overflow until the scale of the loss has come down; else it has no reason to.
    if (report.skipped && (!this.halfPrecision || lossScale.atLeast)) {
      fail('gradient is not finite');
    }
    if (this.halfPrecision) lossScale.update(report.skipped);
    this.step++;
    this.images += batches.reduce((sum, { labels }) => sum + labels.length, 0);
    if (plan.averagesAt(this.step, this.epochEnded)) this.takeIntoAverage();
    const waitMs = batches.reduce((sum, batch) => sum + batch.waitMs, 0);
    return { report, batches, learningRates, waitMs, lossScale: scale };
  }

  private takeIntoAverage(): void {
    this.average.update();
    this.averaged = {
      count: this.average.count,
      first: this.averaged.first || this.step,
      last: this.step,
    };
  }

  private stepOptions(): Omit<StepOptions, 'learningRates'> & { readonly accumulation: number } {
    const { configuration, halfPrecision } = this;
    const { gradient_clip_val: clip } = configuration.trainer;
    return {
      ...crossOptions(configuration),
      accumulation: configuration.trainer.accumulate_grad_batches,
      ...(clip > 0 ? { maxGradientNorm: clip } : {}),
      halfPrecision,
      dropout: this.dropout(),
    };
  }

  /** What may keep losses and gradients finite. */
  private stepAdvice(): string {
    const rates = this.configuration.model.muon_lr === null ? 'model.lr' : 'model.lr and model.muon_lr';
    return `Lower ${rates}${this.halfPrecision ? ', or set trainer.precision=32' : ''}.`;
  }

  private dropout(): ((x: Tensor) => Tensor) | undefined {
    const { model, seed } = this.configuration;
    if (model.dropout === 0) return undefined;
    const words = [seed % 2 ** 32, Math.floor(seed / 2 ** 32)] as const;
    return (x) => dropout(x, model.dropout, { seed: words, offset: this.dropoutStreams++ });
  }

  /** Batches up to the accumulation, not beyond the end of an epoch. */
  private async batchesOfStep(): Promise<Batch[]> {
    const batches: Batch[] = [];
    this.epochEnded = false;
    while (batches.length < this.configuration.trainer.accumulate_grad_batches && !this.epochEnded) {
      const batch = await this.loader.next();
      if (!batch) break;
      batches.push(batch);
      this.position = batch.next;
      this.epochEnded = batch.next.epoch !== batch.position.epoch;
    }
    return batches;
  }

  private drawFor({ labels }: Batch): number[][] {
    const longest = labels.reduce((most, label) => Math.max(most, Array.from(label).length), 1);
    return drawPermutations(longest, this.plan.permutations(!this.crossStarted), this.permutations);
  }

  private hyperParameters(): Record<string, string> {
    return storedConfiguration(this.model.configuration, {});
  }

  private state(): RunState {
    const optimizers = Object.entries(this.training.optimizers);
    return {
      step: this.step,
      images: this.images,
      position: this.position,
      samples: this.loader.length,
      permutations: [...this.permutations.state],
      dropoutStreams: this.dropoutStreams,
      crossStarted: this.crossStarted,
      lossScale: this.lossScale.state,
      optimizerSteps: Object.fromEntries(
        optimizers.flatMap(([name, own]) => (own ? [[name, Object.fromEntries(own.steps)]] : [])),
      ),
      averaged: this.averaged,
      validated: this.validated,
      best: this.best,
    };
  }

  private stateTensors(): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const [kind, optimizer] of Object.entries(this.training.optimizers)) {
      for (const [name, tensor] of optimizer?.state ?? []) tensors.set(`${kind}/${name}`, tensor);
    }
    if (this.average.count > 0) {
      for (const [name, tensor] of this.average.state) tensors.set(`average/${name}`, tensor);
    }
    return tensors;
  }

  private async restore(path: string | undefined, state: RunState | undefined): Promise<void> {
    if (path === undefined || state === undefined) return;
    await restoreTensors(this.device, path, this.stateTensors());
    for (const [name, optimizer] of Object.entries(this.training.optimizers)) {
      for (const [parameter, steps] of Object.entries(state.optimizerSteps[name] ?? {})) {
        optimizer?.steps.set(parameter, steps);
      }
    }
  }

  /** Foresees whether a step fits, and compiles what steps of every kind take, so that none waits for it later. */
  private async prepare(): Promise<void> {
    const { device, model, training, plan, configuration } = this;
    const streams = this.dropoutStreams;
    const { batch_size: batchSize } = configuration.model;
    const laterBytes = plan.averages ? this.average.pendingBytes : 0;
    const phases = plan.phases(this.step, this.crossStarted);
    const options = this.stepOptions();
    const forecast = await forecastMemory(device, model, training, plan, {
      ...options,
      batchSize,
      laterBytes,
      phases,
    });
    this.forecast = { ...forecast, laterBytes };
    checkMemory(this.forecast, configuration, device);
    await withinMemory(this.forecast, configuration, device, async () => {
      await compileSteps(model, training, plan, { ...options, batchSize, phases });
      await device.compile(() => {
        if (this.crossFromVisual) startCrossDecoder(model);
        if (plan.averages) this.average.rehearse();
      });
    });
    this.dropoutStreams = streams;
  }
}
