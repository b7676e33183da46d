import { describe, expect, test } from '@jest/globals';
import { readFileSync, readdirSync } from 'node:fs';
import { adapterTypes, expectedParameters, inferConfiguration, presetOf } from '../model/index.js';
import { configurationText, parseConfiguration, presetConfiguration } from '../train/configuration.js';
import type {
  ParseqRunConfiguration,
  StrAdapterRunConfiguration,
  Vl4StrConfiguration,
} from '../train/configuration_schema.js';
import {
  clip4strConfiguration,
  parseqConfiguration,
  strAdapterConfiguration,
} from '../train/model_configuration.js';
import { learningRateScale } from '../train/one_cycle.js';
import { trainingPresetNames } from '../train/presets.js';
import { defaultCheckpoint } from '../weights/index.js';
import { adapterOptions, fixtureAdapterShapes } from './support/fixture_models.js';
import { readJsonFixture } from './support/fixtures.js';
import { readSafetensorsShapes } from './support/safetensors.js';

const clip4str = (preset: string, settings: string[] = []) =>
  presetConfiguration(preset, settings) as Vl4StrConfiguration;

describe('presets', () => {
  test('every file is a preset, or what all share', () => {
    const files = readdirSync(new URL('../train/presets/', import.meta.url));
    expect(files.sort()).toEqual([...trainingPresetNames, 'common'].map((name) => `${name}.yaml`).sort());
  });

  test.each(trainingPresetNames)('%s is valid and survives being written', (name) => {
    const configuration = presetConfiguration(name);
    expect(parseConfiguration(configurationText(configuration), 'resolved.yaml')).toEqual(configuration);
  });

  test.each(['base', 'base32', 'large', 'huge'] as const)('%s is the published model', (name) => {
    const trained = clip4strConfiguration(clip4str(name));
    expect(trained).toEqual({ ...presetOf(name), normalization: 'clip' });
  });

  test.each(['parseq', 'parseq-tiny'] as const)('%s is the published model', (name) => {
    expect(parseqConfiguration(presetConfiguration(name) as ParseqRunConfiguration)).toEqual(presetOf(name));
  });

  test('tiny is the model that ships with the project', () => {
    const shapes = readSafetensorsShapes(defaultCheckpoint());
    const configuration = clip4strConfiguration(clip4str('tiny'));
    expect(configuration.normalization).toBe('half');
    expect(expectedParameters(configuration)).toEqual(
      new Map([...shapes].map(([name, { shape }]) => [name, shape])),
    );
  });

  test.each([
    // Batch, accumulation and GPUs of the original's scripts.
    ['base', 128, 1, 8],
    ['base32', 256, 1, 4],
    ['large', 48, 5, 4],
    ['huge', 16, 8, 8],
  ])(
    '%s has the step and the learning rate of the original on its GPUs',
    (name, batchSize, accumulation, devices) => {
      const { model, trainer } = clip4str(name);
      const own = { batchSize: model.batch_size, accumulation: trainer.accumulate_grad_batches, devices: 1 };
      expect(own.batchSize * own.accumulation).toBe(batchSize * accumulation * devices);
      expect(model.lr * learningRateScale(model.lr_scaling, own)).toBe(
        8.4e-5 * learningRateScale('clip4str', { batchSize, accumulation, devices }),
      );
    },
  );

  test("options have the original's names, but for those it lacks", () => {
    const { hyper_parameters: original } = readJsonFixture<{ hyper_parameters: object }>(
      'formats/formats.json',
    );
    const own = Object.keys(clip4str('base').model).filter((name) => !Object.hasOwn(original, name));
    expect(own.sort()).toEqual([
      'anneal_strategy',
      'betas',
      'cross_from_visual',
      'eps',
      'lr_scaling',
      'muon_lr',
      'text_depth',
      'text_width',
      'visual_first_pct',
      'visual_first_perm_num',
    ]);
  });

  test('what goes beyond the original is off, except in tiny', () => {
    const beside = ({ model }: Vl4StrConfiguration) => [
      model.muon_lr,
      model.visual_first_pct,
      model.cross_from_visual,
    ];
    for (const name of ['base', 'base32', 'large', 'huge']) {
      expect(beside(clip4str(name))).toEqual([null, 0, false]);
    }
    expect(beside(clip4str('tiny'))).toEqual([3e-3, 0.85, true]);
  });

  test('what tiny does from scratch is off where a model is trained further, unless it is set', () => {
    const beside = (...settings: string[]) => {
      const { model } = presetConfiguration('tiny', settings) as Vl4StrConfiguration;
      return [model.muon_lr, model.visual_first_pct, model.cross_from_visual, model.lr];
    };
    expect(beside('pretrained=model.safetensors')).toEqual([null, 0, false, 1e-4]);
    expect(beside('pretrained=null')).toEqual([3e-3, 0.85, true, 2e-3]);
    expect(beside('pretrained=model.safetensors', 'model.visual_first_pct=0.85')).toEqual([
      null,
      0.85,
      false,
      1e-4,
    ]);
    const file = 'extends: tiny\npretrained: model.safetensors\nmodel:\n  muon_lr: 3e-3\n';
    const { model } = parseConfiguration(file, 'mine.yaml') as Vl4StrConfiguration;
    expect([model.muon_lr, model.visual_first_pct, model.cross_from_visual]).toEqual([3e-3, 0, false]);
    expect(model.lr).toBe(2e-3);
    const stored = configurationText(
      presetConfiguration('tiny', ['pretrained=a', 'model.cross_from_visual=true']),
    );
    expect(configurationText(parseConfiguration(stored, 'config.yaml'))).toBe(stored);
  });
});

describe('an adapter', () => {
  const clipOf = (configuration: ReturnType<typeof inferConfiguration>) => {
    if (configuration.family !== 'str_adapter') throw new Error('no model with an adapter');
    const { image, text, embedWidth } = configuration;
    return { family: 'clip', image, text, embedWidth } as const;
  };
  const run = (...settings: string[]) =>
    presetConfiguration('str-adapter', settings) as StrAdapterRunConfiguration;
  const fast = inferConfiguration(fixtureAdapterShapes('identity'), adapterOptions('identity'));

  test.each(adapterTypes)("%s has the original's sizes", (type) => {
    const trained = strAdapterConfiguration(
      run(`model.adapter_type=${type}`, 'model.block_ids=[0, 1]', 'model.dec_num_heads=4'),
      clipOf(fast),
    );
    const checkpoint = inferConfiguration(fixtureAdapterShapes(type), adapterOptions(type));
    expect(trained).toEqual({ ...checkpoint, normalization: 'clip' });
  });

  test("stands beside blocks that CLIP has, with heads that divide CLIP's features", () => {
    const settings = ['model.dec_num_heads=4', 'model.block_ids=[0, 2]'];
    expect(() =>
      strAdapterConfiguration(run(...settings, 'model.adapter_type=ladder'), clipOf(fast)),
    ).toThrow("model.block_ids has 2; expected numbers below 2, the blocks of CLIP's image encoder.");
    expect(strAdapterConfiguration(run(...settings), clipOf(fast)).adapter.type).toBe('linear');
    expect(() => strAdapterConfiguration(run('model.dec_num_heads=64'), clipOf(fast))).toThrow(
      "model.dec_num_heads is 64; expected a divisor of 96, the width of CLIP's features.",
    );
    expect(() => run('model.prune_reduction=3')).toThrow(
      'preset str-adapter: model.prune_reduction is 3; expected a divisor of 64, the width of a head in CLIP.',
    );
  });
});

describe('settings', () => {
  test('are read as the types of their options', () => {
    const { model, trainer, data, pretrained, swa } = clip4str('base', [
      'model.lr=1e-4',
      'model.batch_size=64',
      'model.img_size=[32, 128]',
      'model.perm_mirrored=false',
      'model.charset_test=0123456789',
      'model.charset_train=abc #{}[]',
      'trainer.max_epochs=3',
      'data.train_dir=[real, 2024]'.replace('2024', "'2024'"),
      'data.root_dir=2024',
      'pretrained=null',
      'swa=true',
    ]);
    expect(model).toMatchObject({
      lr: 1e-4,
      batch_size: 64,
      img_size: [32, 128],
      perm_mirrored: false,
      charset_test: '0123456789',
      charset_train: 'abc #{}[]',
    });
    expect([trainer.max_epochs, pretrained, swa]).toEqual([3, null, true]);
    expect(data).toMatchObject({ train_dir: ['real', '2024'], root_dir: '2024' });
  });

  test('later ones go before earlier ones, and the rest stays', () => {
    const changed = presetConfiguration('base', ['model.lr=1', 'model.lr=2']);
    const base = presetConfiguration('base');
    expect(changed).toEqual({ ...base, model: { ...base.model, lr: 2 } });
  });

  test.each([
    ['model.lr', '--set model.lr: expected <option>=<value>, as model.lr=1e-4.'],
    ['=1', '--set =1: expected <option>=<value>, as model.lr=1e-4.'],
    ['model.lrr=1', '--set model.lrr=1: model.lrr is no option of vl4str; did you mean model.lr?'],
    ['lr=1', '--set lr=1: lr is no option of vl4str; did you mean model.lr?'],
    ['max_epoch=1', '--set max_epoch=1: max_epoch is no option of vl4str; did you mean trainer.max_epochs?'],
    ['model=1', '--set model=1: model is no option of vl4str; did you mean model.lr?'],
    [
      'model.enc_num_heads=1',
      '--set model.enc_num_heads=1: model.enc_num_heads is no option of vl4str; did you mean model.dec_num_heads?',
    ],
    ['__proto__.x=1', /^--set __proto__.x=1: __proto__.x is no option of vl4str; did you mean/],
    ['model.lr=fast', '--set model.lr=fast: expected a number from 1e-12 to 1000.'],
    ['model.lr=.inf', '--set model.lr=.inf: expected a number from 1e-12 to 1000.'],
    ['model.batch_size=0', '--set model.batch_size=0: expected a whole number from 1 to 65536.'],
    ['model.batch_size=1.5', '--set model.batch_size=1.5: expected a whole number from 1 to 65536.'],
    ['swa=yes', '--set swa=yes: expected true or false.'],
    ['model.name=parseq', '--set model.name=parseq: expected vl4str.'],
    ['trainer.precision=8', '--set trainer.precision=8: expected 16 or 32.'],
    ['model.betas=[0.9]', '--set model.betas=[0.9]: expected [beta1, beta2].'],
    [
      'model.charset_test=aa',
      '--set model.charset_test=aa: expected a charset: 36, 62, 94 or its characters, each once.',
    ],
    ['data.root_dir=', '--set data.root_dir=: expected a path.'],
    [
      'model.perm_num=5',
      'preset base: model.perm_num is 5; expected an even number, since model.perm_mirrored is true.',
    ],
    [
      'model.img_size=[224, 230]',
      'preset base: model.img_size is [224,230]; expected multiples of model.patch_size [16, 16].',
    ],
    [
      'model.dec_num_heads=7',
      'preset base: model.embed_dim is 512; expected a multiple of 7, model.dec_num_heads.',
    ],
    [
      'model.enc_width=700',
      'preset base: model.enc_width is 700; expected a multiple of 64, the width of a head in CLIP.',
    ],
    [
      'trainer.max_epochs=-1',
      'preset base: trainer.max_steps is -1; expected a number of steps, since trainer.max_epochs sets no end either.',
    ],
  ])('%s is refused', (setting, message) => {
    expect(() => presetConfiguration('base', [setting])).toThrow(message);
  });
});

describe('configuration files', () => {
  test('give what differs from a preset', () => {
    const text = 'extends: tiny\nmodel:\n  lr: 0.001\ndata:\n  train_dir: [a, b]\n';
    const tiny = clip4str('tiny');
    expect(parseConfiguration(text, 'my.yaml', ['seed=5'])).toEqual({
      ...tiny,
      model: { ...tiny.model, lr: 0.001 },
      data: { ...tiny.data, train_dir: ['a', 'b'] },
      seed: 5,
    });
  });

  const deep = `a: ${'['.repeat(50_000)}`;
  const aliases = Array.from({ length: 30 }, (_, i) =>
    i === 0
      ? 'a0: &a0 [x]'
      : `a${i}: &a${i} [${Array(9)
          .fill(`*a${i - 1}`)
          .join(', ')}]`,
  ).join('\n');

  test.each([
    ['extends: smal', 'my.yaml: extends "smal": no such preset; expected one of base, base32, large, huge'],
    ['extends: [base]', 'my.yaml: extends ["base"]: no such preset; expected one of base'],
    ['', 'my.yaml: expected options as YAML, such as "extends: base".'],
    ['- base', 'my.yaml: expected options as YAML'],
    ['a: [', 'my.yaml: no YAML. '],
    ['seed: 1\nseed: 2\n', 'my.yaml: no YAML. Map keys must be unique'],
    [
      'seed: 1',
      'my.yaml: model.name is missing; expected vl4str, parseq, str_adapter, or "extends: <preset>"',
    ],
    ['model: {name: crnn}', 'my.yaml: model.name is "crnn"; expected vl4str, parseq, str_adapter'],
    [
      'extends: common\nmodel: {name: parseq}',
      'my.yaml: model.img_size is missing; expected [height, width]',
    ],
    ['extends: base\nmodel: {lrr: 1}', 'my.yaml: model.lrr is no option of vl4str; did you mean model.lr?'],
    ['extends: base\nsede: 1', 'my.yaml: sede is no option of vl4str; did you mean seed?'],
    ['extends: base\ndata: 5', 'my.yaml: data is 5; expected a group of options.'],
    ['extends: base\nmodel: {lr: -1}', 'my.yaml: model.lr is -1; expected a number from 1e-12 to 1000.'],
    [
      'extends: base\nmodel: {img_size: [32, x]}',
      'my.yaml: model.img_size.1 is "x"; expected a whole number',
    ],
    ['extends: base\n__proto__: {seed: 1}', 'my.yaml: __proto__ is no option of vl4str; did you mean'],
    [`extends: base\nseed: ${' '.repeat(100_000)}1`, 'characters; a configuration has at most 100000.'],
    [deep, 'my.yaml: no YAML. '],
    [aliases, 'my.yaml: no YAML. Excessive alias count'],
  ])('%#: refused in one line', (text, message) => {
    let thrown: unknown;
    try {
      parseConfiguration(text, 'my.yaml');
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(Error);
    expect((thrown as Error).message).toContain(message);
    expect((thrown as Error).message).not.toContain('\n');
  });

  test('no option may be left out', () => {
    const text = configurationText(presetConfiguration('base'));
    const lines = text.split('\n');
    const leaf = lines.findIndex((line) => line.startsWith('  perm_num:'));
    expect(() => parseConfiguration(lines.toSpliced(leaf, 1).join('\n'), 'run.yaml')).toThrow(
      'run.yaml: model.perm_num is missing; expected a whole number from 1 to 1024.',
    );
  });

  test('what is written can be read by people', () => {
    expect(configurationText(presetConfiguration('tiny'))).toMatch(/^model:\n {2}name: vl4str\n/);
  });

  test('presets are text files with their origin in the first line', () => {
    for (const name of trainingPresetNames) {
      const text = readFileSync(new URL(`../train/presets/${name}.yaml`, import.meta.url), 'utf8');
      expect(text).toMatch(/^# \S/);
    }
  });
});
