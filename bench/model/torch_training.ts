/** Training steps of this engine and of PyTorch in turns: the same weights, batch, permutations and rates. */
import { type Device, RandomGenerator, type Tensor, dropout } from '../../engine/index.js';
import { type Clip4StrConfiguration, Parameters } from '../../model/index.js';
import { type ParameterGroup, presetConfiguration, trainingTargets } from '../../train/index.js';
import type { Vl4StrConfiguration } from '../../train/configuration_schema.js';
import { clip4strOptions } from '../../train/cross_branch.js';
import { LossScale } from '../../train/loss_scale.js';
import { clip4strConfiguration } from '../../train/model_configuration.js';
import { drawPermutations } from '../../train/permutations.js';
import { permutedLoss } from '../../train/permuted_loss.js';
import { RunPlan } from '../../train/run_plan.js';
import { openModelWeights } from '../../train/stored_model.js';
import { type TrainableModel, isClip4Str, readerOf } from '../../train/trainable_model.js';
import { type TrainingBatch, TrainingStep } from '../../train/training_step.js';
import { renderedWords } from './rendered_words.js';
import { median } from '../report/middle.js';
import type { TorchTwin, TwinBatch, TwinTrainingOptions } from './torch_twin.js';

/** Steps on one batch of rendered words, from pixels in the host's memory to changed weights; milliseconds are medians. */
export interface TrainingComparison {
  readonly preset: string;
  /** Options over the preset's. */
  readonly settings: readonly string[];
  readonly batchSize: number;
  readonly permutations: number;
  /** Whether both computed in mixed precision. */
  readonly halfPrecision: boolean;
  readonly steps: number;
  readonly ownMs: number;
  readonly torchMs: number;
  /** PyTorch's time over ours. */
  readonly ratio: number;
  /** The loss before the first step in f32 without dropout, and that of the last step as it was trained. */
  readonly firstLoss: { readonly own: number; readonly torch: number };
  readonly lastLoss: { readonly own: number; readonly torch: number };
  readonly torchPeakBytes: number | null;
}

const [warmUpSteps, mostSteps, fewSteps, longMs] = [2, 5, 3, 20_000];
/** What a run would have, for its plan. */
const renderedImages = 4096;
/** The engine and PyTorch both step by AdamW: Muon is not in the original. */
const comparedSettings = ['model.muon_lr=null'];

/** The recipe that is compared. @throws Error for a preset of another model than CLIP4STR */
export function comparedRecipe(
  preset: string,
  batchSize: number,
  settings: readonly string[],
): Vl4StrConfiguration {
  const configuration = presetConfiguration(preset, [
    `model.batch_size=${batchSize}`,
    `data.synthetic.count=${renderedImages}`,
    'trainer.accumulate_grad_batches=1',
    'trainer.max_steps=100',
    ...comparedSettings,
    ...settings,
  ]);
  if (!isClip4Str(configuration)) {
    throw new Error(`preset ${preset} trains another model than CLIP4STR, whose twin there is in PyTorch.`);
  }
  return configuration;
}

export async function compareTraining(
  device: Device,
  twin: TorchTwin,
  preset: string,
  batchSize: number,
  settings: readonly string[] = [],
): Promise<TrainingComparison> {
  const recipe = comparedRecipe(preset, batchSize, settings);
  const own = await OwnTraining.open(device, recipe);
  try {
    const { reader, parameters, groups, plan, halfPrecision } = own;
    await twin.build(reader, parameters, { half: false, dropout: recipe.model.dropout });
    const options: TwinTrainingOptions = {
      ...clip4strOptions(recipe),
      visualOnly: false,
      groups,
      betas: recipe.model.betas,
      epsilon: recipe.model.eps,
      maxGradientNorm: recipe.trainer.gradient_clip_val,
      halfPrecision,
    };
    const firstLoss = {
      torch: await twin.prepareTraining(own.twinBatch(), options),
      own: await own.lossWithoutDropout(),
    };
    const taken: { own: number; torch: number }[] = [];
    let lastLoss = firstLoss;
    let torchPeakBytes: number | null = null;
    for (let step = 0, steps = warmUpSteps + mostSteps; step < steps; step++) {
      const learningRates = plan.learningRates(step, groups);
      const { milliseconds, loss } = await own.step(learningRates);
      const torch = await twin.step(learningRates);
      lastLoss = { own: loss, torch: torch.loss };
      torchPeakBytes = torch.peakBytes;
      if (step < warmUpSteps) continue;
      taken.push({ own: milliseconds, torch: torch.milliseconds });
      if (Math.max(milliseconds, torch.milliseconds) > longMs) steps = warmUpSteps + fewSteps;
    }
    const [ownMs, torchMs] = [median(taken.map(({ own }) => own)), median(taken.map(({ torch }) => torch))];
    return {
      preset,
      settings: [...comparedSettings, ...settings],
      batchSize,
      permutations: own.batch.permutations.length,
      halfPrecision,
      steps: taken.length,
      ownMs,
      torchMs,
      ratio: torchMs / ownMs,
      firstLoss,
      lastLoss,
      torchPeakBytes,
    };
  } finally {
    own.dispose();
    // Where its process has ended there is nothing to free.
    await twin.forget().catch(() => undefined);
  }
}

/** Our side: a model that starts as the recipe says, and one batch. */
class OwnTraining {
  readonly plan: RunPlan;
  readonly groups: readonly ParameterGroup[];
  readonly halfPrecision: boolean;
  private readonly training: TrainingStep;
  private readonly lossScale = new LossScale();
  private readonly dropout: ((x: Tensor) => Tensor) | undefined;

  private constructor(
    private readonly device: Device,
    private readonly recipe: Vl4StrConfiguration,
    readonly reader: Clip4StrConfiguration,
    readonly parameters: Parameters,
    private readonly model: TrainableModel,
    readonly batch: TrainingBatch,
  ) {
    const { betas, eps: epsilon, batch_size: batchSize, dropout: share } = recipe.model;
    this.plan = new RunPlan(recipe, Math.ceil(renderedImages / batchSize));
    const shapes = new Map([...parameters.entries()].map(([name, { shape }]) => [name, shape]));
    this.groups = this.plan.groups(shapes);
    this.training = new TrainingStep(model, this.groups, { betas, epsilon });
    this.halfPrecision = recipe.trainer.precision === 16 && device.traits.f16;
    let streams = 0;
    this.dropout =
      share === 0 ? undefined : (x) => dropout(x, share, { seed: [recipe.seed, 0], offset: streams++ });
  }

  static async open(device: Device, recipe: Vl4StrConfiguration): Promise<OwnTraining> {
    const { perm_num: count, perm_forward: forward, perm_mirrored: mirrored } = recipe.model;
    const reader = clip4strConfiguration(recipe);
    const words = await renderedWords(recipe.model.batch_size, reader);
    const weights = await openModelWeights(recipe, reader, undefined);
    const parameters = await Parameters.load(device, weights, 'f32').finally(() => weights.close());
    const permutations = drawPermutations(
      words.labels.reduce((most, label) => Math.max(most, Array.from(label).length), 1),
      { count, forward, mirrored },
      new RandomGenerator(recipe.seed),
    );
    const model = readerOf(device, parameters, reader);
    return new OwnTraining(device, recipe, reader, parameters, model, { ...words, permutations });
  }

  twinBatch(): TwinBatch {
    const { pixels, labels, permutations } = this.batch;
    const { ids, length } = this.model.tokenizer.encode(labels);
    return {
      pixels,
      shape: this.imagesShape,
      ids: Uint32Array.from(ids),
      idsShape: [labels.length, length],
      permutations,
    };
  }

  lossWithoutDropout(): Promise<number> {
    const { device, model, batch, recipe } = this;
    return device.scope(async () => {
      const images = device.tensor(batch.pixels, this.imagesShape);
      const targets = trainingTargets(batch.labels, model.tokenizer, recipe.model.max_label_length);
      const { loss } = await permutedLoss(
        model,
        images,
        targets,
        batch.permutations,
        clip4strOptions(recipe),
      );
      return (await loss.read())[0]!;
    });
  }

  async step(learningRates: readonly number[]): Promise<{ milliseconds: number; loss: number }> {
    const { recipe, batch, halfPrecision, lossScale } = this;
    const { gradient_clip_val: clip } = recipe.trainer;
    const start = performance.now();
    const { loss, skipped } = await this.training.run([batch], {
      ...clip4strOptions(recipe),
      visualOnly: false,
      learningRates,
      ...(clip > 0 ? { maxGradientNorm: clip } : {}),
      halfPrecision,
      lossScale: halfPrecision ? lossScale.value : 1,
      dropout: this.dropout,
    });
    const milliseconds = performance.now() - start;
    if (halfPrecision) lossScale.update(skipped);
    return { milliseconds, loss };
  }

  dispose(): void {
    this.training.dispose();
    this.parameters.dispose();
  }

  private get imagesShape(): readonly number[] {
    return [this.batch.labels.length, 3, ...this.reader.image.imageSize];
  }
}
