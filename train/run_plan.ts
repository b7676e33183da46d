/** What a configuration and the size of the data set settle for each step of a run. */
import { type OneCycle, learningRateScale, oneCycleLearningRate } from './one_cycle.js';
import { type ParameterGroup, parameterGroups } from './parameter_groups.js';
import type { PermutationOptions } from './permutations.js';
import type { TrainingConfiguration } from './configuration_schema.js';
import { groupingRules, isClip4Str } from './trainable_model.js';

export class RunPlan {
  /** Optimizer steps of the run. */
  readonly totalSteps: number;
  /** Steps of an epoch; its last one may have fewer batches. */
  readonly stepsPerEpoch: number;
  /** Epochs of the data that the run reads at most. */
  readonly epochs: number;
  /** Steps at the beginning in which the visual branch trains alone. */
  readonly visualSteps: number;
  private readonly limitedBySteps: boolean;
  /**
   * The step from which weights are averaged, once all of them train; the learning rate stays as it is then. Infinity where
   * none are.
   */
  readonly averagingStep: number;

  /** @throws Error if the options leave no step to take */
  constructor(
    private readonly configuration: TrainingConfiguration,
    batchesPerEpoch: number,
  ) {
    const { trainer, swa, swa_epoch_start } = configuration;
    this.stepsPerEpoch = Math.ceil(batchesPerEpoch / trainer.accumulate_grad_batches);
    this.epochs = trainer.max_epochs < 0 ? Infinity : trainer.max_epochs;
    const limit = trainer.max_steps < 0 ? Infinity : trainer.max_steps;
    this.limitedBySteps = limit < this.epochs * this.stepsPerEpoch;
    this.totalSteps = Math.min(this.epochs * this.stepsPerEpoch, limit);
    if (this.totalSteps < 1) {
      throw new Error(
        `trainer.max_epochs ${trainer.max_epochs} and trainer.max_steps ${trainer.max_steps} leave no step to take.`,
      );
    }
    const visual = isClip4Str(configuration) ? configuration.model.visual_first_pct : 0;
    this.visualSteps = Math.round(visual * this.totalSteps);
    const allTrain = this.visualSteps < this.totalSteps ? this.visualSteps : 0;
    this.averagingStep = swa ? Math.max(allTrain, Math.floor(swa_epoch_start * this.totalSteps)) : Infinity;
  }

  /** Whether there will be an average of weights at the end. */
  get averages(): boolean {
    return this.averagingStep < this.totalSteps;
  }

  /**
   * Whether the weights after a step, counted from 1, go into the average: at the ends of epochs, and at ten more steps of
   * a run that steps limit, which may see few of those; at its end in any case.
   */
  averagesAt(step: number, epochEnded: boolean): boolean {
    if (step <= this.averagingStep) return false;
    if (epochEnded || step >= this.totalSteps) return true;
    const interval = Math.ceil((this.totalSteps - this.averagingStep) / 10);
    return this.limitedBySteps && (this.totalSteps - step) % interval === 0;
  }

  /** @param shapes of the model's parameters, by name */
  groups(shapes: ReadonlyMap<string, readonly number[]>): ParameterGroup[] {
    const { model, trainer } = this.configuration;
    const scale = learningRateScale(model.lr_scaling, {
      batchSize: model.batch_size,
      accumulation: trainer.accumulate_grad_batches,
      devices: 1,
    });
    return parameterGroups(shapes, groupingRules(this.configuration), {
      learningRate: model.lr * scale,
      weightDecay: model.weight_decay,
      decoderRateFactor: 'coef_lr' in model ? model.coef_lr : 1,
      decoderDecayFactor: 'coef_wd' in model ? model.coef_wd : 1,
      ...(model.muon_lr === null ? {} : { muonLearningRate: model.muon_lr * scale }),
    });
  }

  /** Of each group, at a step counted from 0. */
  learningRates(step: number, groups: readonly ParameterGroup[]): number[] {
    const { warmup_pct: warmupFraction, anneal_strategy: anneal } = this.configuration.model;
    return groups.map(({ maxLearningRate }) => {
      const cycle: OneCycle = { maxLearningRate, totalSteps: this.totalSteps, warmupFraction, anneal };
      return oneCycleLearningRate(Math.min(step, this.averagingStep), cycle);
    });
  }

  /**
   * Whether the visual branch trains alone, for each way in which steps will train.
   * @param step that comes next, counted from 0
   * @param crossStarted whether it trains alone no more, whatever the plan
   */
  phases(step: number, crossStarted: boolean): readonly boolean[] {
    const alone = !crossStarted && step < this.visualSteps;
    const together = crossStarted || this.visualSteps < this.totalSteps;
    return [...(alone ? [true] : []), ...(together ? [false] : [])];
  }

  /** @param visualOnly whether the visual branch trains alone */
  permutations(visualOnly: boolean): PermutationOptions {
    const { model } = this.configuration;
    const count = model.name === 'vl4str' && visualOnly ? model.visual_first_perm_num : model.perm_num;
    return { count, forward: model.perm_forward, mirrored: model.perm_mirrored };
  }
}
