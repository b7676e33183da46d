/** The work that CLIP4STR gives the kernels, reading and in training, from the sizes of its models. */
import type { Clip4StrConfiguration } from '../../model/configuration.js';
import { expectedParameters } from '../../model/expected_parameters.js';
import { presetConfiguration } from '../../train/configuration.js';
import type { Vl4StrConfiguration } from '../../train/configuration_schema.js';
import { clip4strConfiguration } from '../../train/model_configuration.js';
import { RunPlan } from '../../train/run_plan.js';
import { imageEncoderUses, isProjection, textEncoderUses } from './encoder_work.js';
import { clipRefinerUses, decoderUses, loadingUses } from './reading_work.js';
import { type TrainingRecipe, trainingUses } from './training_work.js';
import { type Use, linear } from './use.js';

/** Work, and where it occurs. */
export interface UsedWork extends Use {
  readonly model: ModelName;
  /** Images at once. */
  readonly batch: number;
}

/** Models by the names of their presets in `train/presets`. */
const models = ['tiny', 'base', 'large'] as const;

/** `square` is no model: products of square matrices, by which devices and libraries are compared. */
export type ModelName = (typeof models)[number] | 'square';

export const modelNames: readonly ModelName[] = [...models, 'square'];

/** Those whose work is measured unless others are named. */
export const usualModels: readonly ModelName[] = models;

const squareSides = [768, 4096];

/** Everything that a model gives the kernels at a batch size, the work of each purpose once. */
export function modelWork(model: ModelName, batch: number): UsedWork[] {
  if (model === 'square') {
    return squareSides.map((side) => ({
      work: linear(side, side, side, { bias: false }),
      model,
      batch,
      stage: 'encoding',
      purpose: 'square matrices',
      occurrences: 1,
    }));
  }
  const { sizes, recipe } = presetOf(model);
  const uses = [
    ...loadingUses(sizes),
    ...imageEncoderUses(sizes, batch),
    // Again for what the visual branch has refined.
    ...textEncoderUses(sizes, batch, 1 + sizes.refineIterations),
    ...decoderUses(sizes, batch),
    // There is no plain CLIP of the sizes of tiny.
    ...(model === 'tiny' ? [] : clipRefinerUses(sizes, batch)),
    ...trainingUses(sizes, batch, recipe),
  ];
  return uses.map((use) => ({ ...use, model, batch }));
}

/** All that a training step does, what reading does as well among it. */
export function trainingStepWork(model: (typeof models)[number], batch: number): UsedWork[] {
  const { sizes, recipe } = presetOf(model);
  // Of products with activations the two are apart.
  const images = imageEncoderUses(sizes, batch).filter(
    (use) => !isProjection(use) && (use.work.kernel !== 'matmul' || use.work.activation === 'none'),
  );
  return [...images, ...trainingUses(sizes, batch, recipe)].map((use) => ({ ...use, model, batch }));
}

/** All that a reading of texts does that fill all positions. */
export function readingStepWork(model: (typeof models)[number], batch: number): UsedWork[] {
  const stages: readonly Use['stage'][] = ['encoding', 'decoding', 'refining'];
  return modelWork(model, batch).filter(
    ({ stage, purpose }) => stages.includes(stage) && !/--(attention|clip-refine)/.test(purpose),
  );
}

function presetOf(model: (typeof models)[number]): { sizes: Clip4StrConfiguration; recipe: TrainingRecipe } {
  // Presets of these names are of CLIP4STR.
  const run = presetConfiguration(model) as Vl4StrConfiguration;
  const sizes = clip4strConfiguration(run);
  const shapes = expectedParameters(sizes);
  const groups = new RunPlan(run, 1).groups(shapes);
  return {
    sizes,
    recipe: {
      dropped: run.model.dropout > 0,
      permutations: run.model.perm_num,
      trained: groups.reduce((count, { names }) => count + names.length, 0),
      muonGroups: groups
        .filter(({ optimizer }) => optimizer === 'muon')
        .map(({ names }) => names.map((name) => shapes.get(name)!)),
    },
  };
}
