/** The work that CLIP4STR gives the kernels, reading and in training, from the sizes of its models. */
import type { Clip4StrConfiguration } from '../../model/configuration.js';
import { presets } from '../../model/presets.js';
import {
  type Use,
  clipRefinerUses,
  decoderUses,
  imageEncoderUses,
  linear,
  loadingUses,
  textEncoderUses,
} from './reading_work.js';
import { trainingUses } from './training_work.js';

/** Work, and where it occurs. */
export interface UsedWork extends Use {
  readonly model: ModelName;
  /** Images at once. */
  readonly batch: number;
}

/** The sizes of the model that comes with this package, as `train/presets/tiny.yaml` has them. */
const tiny: Clip4StrConfiguration = {
  ...presets.base,
  image: {
    ...presets.base.image,
    imageSize: [32, 128],
    patchSize: [8, 8],
    width: 128,
    layers: 5,
    heads: 2,
    mlpWidth: 512,
  },
  text: { ...presets.base.text, width: 64, layers: 2, heads: 1, mlpWidth: 256 },
  embedWidth: 128,
  visualDecoder: { ...presets.base.visualDecoder, width: 128, heads: 4, mlpWidth: 512 },
  crossDecoder: { ...presets.base.crossDecoder, width: 128, heads: 4, mlpWidth: 512 },
};

/** Whose presets in `train/presets` drop elements at random. */
const dropping: readonly ModelName[] = ['base', 'large'];

const models = { tiny, base: presets.base, large: presets.large } as const;

/** `square` is no model: products of square matrices, by which devices and libraries are compared. */
export type ModelName = keyof typeof models | 'square';

export const modelNames: readonly ModelName[] = [
  ...(Object.keys(models) as (keyof typeof models)[]),
  'square',
];

/** Those whose work is measured unless others are named. */
export const usualModels: readonly ModelName[] = modelNames.filter((name) => name !== 'square');

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
  const uses = [
    ...loadingUses(models[model]),
    ...imageEncoderUses(models[model], batch),
    ...textEncoderUses(models[model], batch),
    ...decoderUses(models[model], batch),
    // There is no plain CLIP of the sizes of tiny.
    ...(model === 'tiny' ? [] : clipRefinerUses(models[model], batch)),
    ...trainingUses(models[model], batch, dropping.includes(model)),
  ];
  return uses.map((use) => ({ ...use, model, batch }));
}
