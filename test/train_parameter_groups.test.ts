import { describe, expect, test } from '@jest/globals';
import { expectedParameters, presetOf } from '../model/index.js';
import { isFrozen } from '../train/freezing.js';
import { type ParameterGroup, parameterGroups } from '../train/parameter_groups.js';
import { fixturePath, readJsonFixture } from './support/fixtures.js';
import { readSafetensorsShapes } from './support/safetensors.js';

type Shapes = ReadonlyMap<string, readonly number[]>;

function shapesOf(fixture: string): Shapes {
  const tensors = readSafetensorsShapes(fixturePath(fixture));
  return new Map([...tensors].map(([name, { shape }]) => [name, shape]));
}

interface ReferenceGroup {
  weight_decay: number;
  max_lr: number;
  names: string[];
}

function expectGroups(groups: readonly ParameterGroup[], expected: readonly ReferenceGroup[]): void {
  expect(groups.length).toBe(expected.length);
  for (const [index, group] of groups.entries()) {
    const { weight_decay: weightDecay, max_lr: maxLearningRate, names } = expected[index]!;
    expect(group.optimizer).toBe('adamw');
    expect([...group.names].sort()).toEqual([...names].sort());
    expect(group.weightDecay).toBeCloseTo(weightDecay, 12);
    expect(group.maxLearningRate / maxLearningRate).toBeCloseTo(1, 12);
  }
}

describe('frozen parameters of the original', () => {
  interface Run {
    config?: { text_freeze_nlayer?: number; image_freeze_nlayer?: number };
    text_freeze_nlayer?: number;
    frozen: string[];
    trainable?: string[];
    grad_norms?: Record<string, number>;
    grad_is_none?: string[];
  }
  test.each([
    ['fast_grads', 126],
    ['p16_grads', 186],
    ['fast_variant_cloze', 126],
    ['fast_variant_freeze_all_text', 126],
    ['fast_variant_freeze_none', 126],
    ['fast_variant_image_freeze0', 126],
    ['fast_variant_image_freeze1', 126],
  ])('%s', (file, parameterCount) => {
    const run = readJsonFixture<Run>(`train/${file}.json`);
    const rules = {
      textLayers: run.text_freeze_nlayer ?? run.config?.text_freeze_nlayer ?? 1,
      imageLayers: run.config?.image_freeze_nlayer ?? -1,
    };
    const trained = run.trainable ?? [...Object.keys(run.grad_norms!), ...run.grad_is_none!];
    const names = [...new Set([...run.frozen, ...trained])];
    expect(names.length).toBe(parameterCount);
    expect(names.filter((name) => isFrozen(name, rules)).sort()).toEqual([...run.frozen].sort());
  });

  test('twelve layers are the whole tower, also where it has more', () => {
    const names = [...expectedParameters(presetOf('huge')).keys()];
    const frozen = (textLayers: number, imageLayers: number) =>
      names.filter((name) => isFrozen(name, { textLayers, imageLayers }));
    const image = names.filter((name) => name.startsWith('clip_model.visual.'));
    const text = names.filter((name) => name.startsWith('clip_model.') && !image.includes(name));
    expect(frozen(-1, 12)).toEqual(image);
    expect(frozen(12, -1)).toEqual(text);
    expect(frozen(11, 11).length).toBe(2 * 11 * 12 + 2 + 3);
    expect(frozen(-1, -1)).toEqual([]);
  });
});

describe('optimizer groups of the original', () => {
  test.each([['clip20'], ['tight_nofreeze']])('CLIP4STR, %s', (name) => {
    const run = readJsonFixture<
      Record<
        string,
        {
          groups: ReferenceGroup[];
          hparams: Record<
            'lr' | 'batch_size' | 'coef_lr' | 'coef_wd' | 'weight_decay' | 'text_freeze_nlayer',
            number
          >;
        }
      >
    >('train/fast_optim.json')[name]!;
    const { hparams } = run;
    const groups = parameterGroups(
      shapesOf('models/fast.safetensors'),
      { model: 'vl4str', freezing: { textLayers: hparams.text_freeze_nlayer, imageLayers: -1 } },
      {
        learningRate: (hparams.lr * hparams.batch_size) / 512,
        weightDecay: hparams.weight_decay,
        decoderRateFactor: hparams.coef_lr,
        decoderDecayFactor: hparams.coef_wd,
      },
    );
    expectGroups(groups, run.groups);
  });

  test('CLIP4STR, sizes of the groups in a checkpoint', () => {
    const { optimizer_groups: sizes } = readJsonFixture<{ optimizer_groups: number[] }>(
      'formats/formats.json',
    );
    const groups = parameterGroups(
      shapesOf('formats/clip4str_tiny.safetensors'),
      { model: 'vl4str', freezing: { textLayers: 1, imageLayers: -1 } },
      { learningRate: 1, weightDecay: 0.2, decoderRateFactor: 19, decoderDecayFactor: 0.5 },
    );
    expect(groups.map(({ names }) => names.length)).toEqual(sizes);
    expect(groups.map(({ weightDecay }) => weightDecay)).toEqual([0, 0.2, 0, 0.1]);
  });

  interface AdapterRun {
    parameter_shapes: Record<string, number[]>;
    optimizer_groups: ReferenceGroup[];
    optimizer_config: Record<'lr' | 'coef_lr' | 'weight_decay', number>;
  }
  test.each(Object.entries(readJsonFixture<Record<string, AdapterRun>>('adapters/adapters.json')))(
    'adapter %s',
    (adapter, run) => {
      const clip = [...shapesOf('models/fast.safetensors')].filter(([name]) =>
        name.startsWith('clip_model.'),
      );
      const groups = parameterGroups(
        new Map([...clip, ...Object.entries(run.parameter_shapes)]),
        { model: 'str_adapter', adapter },
        {
          // Two batches of 64 on each of four GPUs: the scale is 1.
          learningRate: run.optimizer_config.lr,
          weightDecay: run.optimizer_config.weight_decay,
          decoderRateFactor: run.optimizer_config.coef_lr,
          decoderDecayFactor: 1,
        },
      );
      expectGroups(groups, run.optimizer_groups);
    },
  );

  test('PARSeq: all parameters at one rate, positions and the embedding not decayed', () => {
    const reference = readJsonFixture<{
      state_dict_keys: Record<string, number[]>;
      train_mix: { grad_norms: Record<string, number> };
    }>('parseq/parseq.json');
    const shapes = new Map(Object.entries(reference.state_dict_keys));
    const rates = { learningRate: 1e-3, weightDecay: 0.1, decoderRateFactor: 19, decoderDecayFactor: 1 };
    const [kept, decayed, ...more] = parameterGroups(shapes, { model: 'parseq' }, rates);
    expect(more).toEqual([]);
    expect([...kept!.names, ...decayed!.names].sort()).toEqual(
      Object.keys(reference.train_mix.grad_norms).sort(),
    );
    expect([kept!.maxLearningRate, decayed!.maxLearningRate]).toEqual([1e-3, 1e-3]);
    expect([kept!.weightDecay, decayed!.weightDecay]).toEqual([0, 0.1]);
    expect(kept!.names.filter((name) => shapes.get(name)!.length > 1)).toEqual([
      'pos_queries',
      'encoder.pos_embed',
      'text_embed.embedding.weight',
    ]);
    expect(decayed!.names.filter((name) => shapes.get(name)!.length < 2)).toEqual([]);
  });
});

test('Muon takes the matrices of the blocks, and nothing is trained twice', () => {
  const shapes = shapesOf('models/fast.safetensors');
  const rules = { model: 'vl4str', freezing: { textLayers: 1, imageLayers: -1 } } as const;
  const rates = { learningRate: 1e-3, weightDecay: 0.2, decoderRateFactor: 2, decoderDecayFactor: 0.5 };
  const without = parameterGroups(shapes, rules, rates);
  const groups = parameterGroups(shapes, rules, { ...rates, muonLearningRate: 0.02 });
  expect(groups.slice(0, 4).map(({ optimizer }) => optimizer)).toEqual(without.map(() => 'adamw'));
  const muon = groups.slice(4);
  expect(
    muon.map(({ optimizer, weightDecay, maxLearningRate }) => [optimizer, weightDecay, maxLearningRate]),
  ).toEqual([
    ['muon', 0.2, 0.02],
    ['muon', 0.1, 0.02],
  ]);
  const names = (from: readonly ParameterGroup[]) => from.flatMap((group) => group.names).sort();
  expect(names(groups)).toEqual(names(without));
  expect(names(muon)).toEqual(
    names(without).filter((name) => shapes.get(name)!.length === 2 && /(resblocks|layers)\.\d/.test(name)),
  );
  expect(names(muon).length).toBe(16 + 12);
});
