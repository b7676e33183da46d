/** Units for small matrices are taken only where the adapter has such as are needed, and they compute rightly. */
import { describe, expect, test } from '@jest/globals';
import { type Device, openDevice } from '../engine/index.js';
import { type UnitVariants, offeredMatrixUnits, trustedUnits } from '../engine/matrix_units.js';
import {
  type AttentionBackwardProblem,
  type AttentionBackwardVariant,
  type AttentionProblem,
  type AttentionVariant,
  type MatmulProblem,
  type MatmulVariant,
  type MatrixSizes,
  type MatrixUnits,
  attentionBackwardFamily,
  attentionFamily,
  matmulFamily,
} from '../kernels/index.js';
import { openTunedDevice, unitUse } from '../cli/options.js';
import { useDevice } from './support/device.js';
import { useEmulatedMatrices, withLaunches } from './support/emulated_matrices.js';
import { useNullAdapter } from './support/null_device.js';

const device = useDevice({ device: 'software' });
const emulated = useEmulatedMatrices();

const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];
const gpuWith = (names: readonly string[]): GPUDevice =>
  ({ features: new Set(names) }) as unknown as GPUDevice;
const config = (size: number, from = 'f16', to = 'f32'): object => ({
  componentType: from,
  resultComponentType: to,
  M: size,
  N: size,
  K: size,
});
const infoWith = (configs: readonly object[], [least, most] = [32, 32]): GPUAdapterInfo =>
  ({
    subgroupMatrixConfigs: configs,
    subgroupMinSize: least,
    subgroupMaxSize: most,
  }) as unknown as GPUAdapterInfo;

test('the largest of f16 that add up in f32 are offered, where subgroups have one size', () => {
  const configs = [config(32, 'f16', 'f16'), config(8), config(16), config(64, 'u8', 'u32')];
  const units: MatrixSizes = { rows: 16, columns: 16, depth: 16, lanes: 32 };
  expect(offeredMatrixUnits(infoWith(configs), gpuWith(features))).toEqual(units);
  expect(offeredMatrixUnits(infoWith(configs, [8, 32]), gpuWith(features))).toBeUndefined();
  expect(offeredMatrixUnits(infoWith(configs.slice(0, 1)), gpuWith(features))).toBeUndefined();
  expect(offeredMatrixUnits({} as GPUAdapterInfo, gpuWith(features))).toBeUndefined();
  for (const missing of features) {
    const others = features.filter((name) => name !== missing);
    expect(offeredMatrixUnits(infoWith(configs), gpuWith(others))).toBeUndefined();
  }
});

describe('a device', () => {
  useNullAdapter();
  const hasUnits = (device: Device): boolean => {
    device.close();
    return device.gpu.features.has(features.at(-1)!);
  };

  test('has the units where the adapter does, unless they are needed for nothing', async () => {
    expect(hasUnits(await openDevice())).toBe(true);
    expect(hasUnits(await openDevice({ matrixUnitUse: 'forward' }))).toBe(true);
    expect(hasUnits(await openDevice({ matrixUnitUse: 'nothing' }))).toBe(false);
  });

  test('of a command has them unless all is in f32', async () => {
    for (const work of ['forward', 'all'] as const) {
      expect(hasUnits(await openTunedDevice(undefined, unitUse('f32', work)))).toBe(false);
      for (const precision of ['f16', 'int8', undefined] as const)
        expect(unitUse(precision, work)).toBe(precision === 'int8' ? 'forward' : work);
    }
  });
});

describe('a device that the driver loses at the units', () => {
  /** How many devices are still to be lost. */
  let losses = 0;
  /** Whether each device that was opened was asked for the units, and how it ended. */
  const opened: { readonly gpu: GPUDevice; readonly ended: Promise<GPUDeviceLostInfo> }[] = [];
  useNullAdapter((adapter) => ({
    info: { ...infoWith([config(16)]), description: 'an adapter of a test' },
    features: adapter.features,
    limits: adapter.limits,
    async requestDevice(descriptor) {
      const gpu = await adapter.requestDevice(descriptor);
      opened.push({ gpu, ended: gpu.lost });
      if (losses-- > 0) loseAsItCompiles(gpu);
      return gpu;
    },
  }));

  function loseAsItCompiles(gpu: GPUDevice): void {
    const lost = new Promise<GPUDeviceLostInfo>((resolve) => {
      gpu.createComputePipelineAsync = () => {
        resolve({ reason: 'unknown', message: 'a compiler crashed' } as GPUDeviceLostInfo);
        return Promise.reject(new Error('lost'));
      };
    });
    Object.defineProperty(gpu, 'lost', { value: lost });
  }

  test.each<['forward' | 'all', number, readonly boolean[]]>([
    ['all', 0, [true]],
    ['all', 1, [true, true]],
    ['all', 2, [true, true, false]],
    ['forward', 1, [true, false]],
  ])('gives way to another: %s, lost %i times', async (matrixUnitUse, times, asked) => {
    opened.length = 0;
    losses = times;
    const device = await openDevice({ matrixUnitUse });
    expect(opened.map(({ gpu }) => gpu.features.has(features.at(-1)!))).toEqual(asked);
    for (const { ended } of opened.slice(0, -1)) expect((await ended).reason).toBe('destroyed');
    expect(device.gpu).toBe(opened.at(-1)!.gpu);
    await device.finish();
    device.close();
  });
});

describe('multiplying, attending and its gradients are tried', () => {
  const units: MatrixSizes = { rows: 16, columns: 16, depth: 16, lanes: 16 };
  const plain = matmulFamily.variants.at(-1)!;
  const plainAttention = attentionFamily.variants.at(-1)!;
  const realProduct = matmulFamily.variants.find(({ byMatrixUnits }) => byMatrixUnits)!;
  const realAttention = attentionFamily.variants.find(({ byMatrixUnits }) => byMatrixUnits)!;
  const realGradient = attentionBackwardFamily.variants.find(({ byMatrixUnits }) => byMatrixUnits)!;
  // Those of the plain one take long to compile.
  const plainGradient = attentionBackwardFamily.variants.find(({ name }) => name.endsWith('broadcast'))!;
  const layouts = new Set<string>();
  /** Ways that pass for the real ones, and compute as the plain ones. */
  const multiplying = (change = (problem: MatmulProblem) => problem): readonly MatmulVariant[] => [
    {
      name: 'matmul_of_a_test',
      byMatrixUnits: true,
      canApply: () => true,
      launch(problem, traits) {
        const { LEFT_VECTOR, RIGHT_VECTOR, LEFT_ORDER, RIGHT_ORDER, LEFT, RIGHT, RESULT } =
          realProduct.launch(problem, traits).defines;
        layouts.add([LEFT_VECTOR, LEFT_ORDER, RIGHT_VECTOR, RIGHT_ORDER, LEFT, RIGHT, RESULT].join(' '));
        return plain.launch(change(problem), traits);
      },
    },
    plain,
  ];
  const attending = (change = (problem: AttentionProblem) => problem): readonly AttentionVariant[] => [
    {
      name: 'attention_of_a_test',
      byMatrixUnits: true,
      canApply: (problem, traits) => realAttention.canApply(problem, traits),
      launch(problem, traits) {
        const { ROWS, WIDTH, VECTORS, MASK, PADDING, RESULT } = realAttention.launch(problem, traits).defines;
        layouts.add([ROWS, WIDTH, VECTORS, problem.causal, MASK, PADDING, RESULT].join(' '));
        return plainAttention.launch(change(problem), traits);
      },
    },
    plainAttention,
  ];
  const goingBack = (
    change = (problem: AttentionBackwardProblem) => problem,
  ): readonly AttentionBackwardVariant[] => [
    {
      name: 'gradient_of_a_test',
      byMatrixUnits: true,
      canApply: (problem, traits) => realGradient.canApply(problem, traits),
      launch(step, problem, traits) {
        const { OF, OWN, WIDTH, VECTORS, MASK, PADDING, GRADIENT } = realGradient.launch(
          step,
          problem,
          traits,
        ).defines;
        layouts.add([OF, OWN, WIDTH, VECTORS, problem.causal, MASK, PADDING, GRADIENT].join(' '));
        return plainGradient.launch(step, change(problem), traits);
      },
    },
    plainGradient,
  ];
  const all = (): UnitVariants => ({
    products: multiplying(),
    attentions: attending(),
    gradients: goingBack(),
  });

  /** Without gradients unless they are given. */
  const trusted = (
    variants: Partial<UnitVariants>,
    offered: MatrixSizes = units,
  ): Promise<MatrixUnits | undefined> =>
    trustedUnits(device(), offered, variants.gradients ? 'all' : 'forward', { ...all(), ...variants });

  test('in every layout that a shader is made for', async () => {
    const live = device().memory.liveBytes;
    expect(await trusted({})).toEqual({ ...units, attend: true, attendBackward: false });
    expect([...layouts].sort()).toEqual([
      '16 128 false true true true f32',
      '16 128 true false false false f16',
      '16 32 false true true true f32',
      '16 32 true false false false f16',
      '16 64 false true true true f32',
      '16 64 true false false false f16',
      '32 128 false true true true f32',
      '32 128 true false false false f16',
      '32 32 false true true true f32',
      '32 32 true false false false f16',
      '32 64 false true true true f32',
      '32 64 true false false false f16',
      'depth row_major columns row_major f32 f16 f32',
      'depth row_major columns row_major f32 f32 f32',
      'depth row_major depth col_major f32 f16 f16',
      'depth row_major depth col_major f32 f16 f32',
      'depth row_major depth col_major f32 q8 f32',
      'none row_major none col_major f16 f16 f32',
      'none row_major none col_major f16 f32 f16',
      'none row_major none col_major f32 f16 f16',
      'none row_major none col_major f32 f16 f32',
      'none row_major none col_major f32 f32 f16',
      'none row_major none col_major f32 f32 f32',
      'rows col_major columns row_major f16 f16 f32',
      'rows col_major columns row_major f16 f32 f16',
      'rows col_major columns row_major f32 f16 f32',
      'rows col_major columns row_major f32 f32 f16',
      'rows col_major columns row_major f32 f32 f32',
      'rows col_major depth col_major f32 f16 f32',
      'rows col_major depth col_major f32 q8 f32',
    ]);
    layouts.clear();
    expect(await trusted(all())).toEqual({ ...units, attend: true, attendBackward: true });
    const ofGradients = [...layouts].filter((layout) => /^(statistics|query|key_value) /.test(layout));
    expect(ofGradients.sort()).toEqual(
      ['key_value', 'query', 'statistics'].flatMap((step) =>
        [16, 32].flatMap((own) =>
          [128, 32, 64].flatMap((width) => [
            `${step} ${own} ${width} false true true true f32`,
            `${step} ${own} ${width} true false false false ${step === 'statistics' ? 'f32' : 'f16'}`,
          ]),
        ),
      ),
    );
    expect(device().memory.liveBytes).toBe(live);
  });

  // A tile that is one matrix compiles the fastest, and one form of attention; others are in attention_matrix.test.ts.
  test('and done where the shaders of products compute as they should', async () => {
    const large: MatrixSizes = { rows: 32, columns: 32, depth: 32, lanes: 8 };
    const smallest = matmulFamily.variants.find(({ name }) => name === 'matmul_matrix_32')!;
    const products = [withLaunches(smallest, emulated), plain];
    expect(await trusted({ products, attentions: [plainAttention] }, large)).toEqual({
      ...large,
      attend: false,
      attendBackward: false,
    });
  }, 120_000);

  test('and done where that of attention does', async () => {
    const large: MatrixSizes = { rows: 16, columns: 32, depth: 32, lanes: 128 };
    const attention: AttentionVariant = {
      ...withLaunches(realAttention, emulated),
      canApply: ({ query, mask }) => query.shape[3] === 64 && !mask,
    };
    const attentions = [attention, plainAttention];
    expect(await trusted({ attentions }, large)).toEqual({
      ...large,
      attend: true,
      attendBackward: false,
    });
  }, 120_000);

  test('and done where those of its gradients do', async () => {
    const large: MatrixSizes = { rows: 16, columns: 32, depth: 32, lanes: 128 };
    const gradient: AttentionBackwardVariant = {
      ...realGradient,
      canApply: ({ query, mask }) => query.shape[3] === 64 && !mask,
      launch: (...given) => emulated(realGradient.launch(...given)),
    };
    expect(await trusted({ gradients: [gradient, plainGradient] }, large)).toEqual({
      ...large,
      attend: true,
      attendBackward: true,
    });
  }, 120_000);

  test.each<[string, Partial<UnitVariants>]>([
    ['a little wrong', { products: multiplying((problem) => ({ ...problem, scale: 1.01 })) }],
    ['no number', { products: multiplying((problem) => ({ ...problem, scale: NaN })) }],
    [
      'wrong in one layout alone',
      {
        products: multiplying((problem) =>
          problem.right.dtype === 'q8' ? { ...problem, scale: 0.9 } : problem,
        ),
      },
    ],
  ])('and not done where results are %s', async (_, wrong) => {
    expect(await trusted(wrong)).toBeUndefined();
  });

  test.each<[string, Partial<UnitVariants>]>([
    ['a little wrong', { attentions: attending((problem) => ({ ...problem, scale: 0.51 })) }],
    ['wrong where keys are hidden', { attentions: attending((problem) => ({ ...problem, causal: false })) }],
    [
      'wrong for padding',
      {
        attentions: attending(({ padding, ...problem }) => ({
          ...problem,
          padding: padding && { ...padding, offset: 1 },
        })),
      },
    ],
  ])('and products alone where those of attention are %s', async (_, wrong) => {
    expect(await trusted({ ...all(), ...wrong })).toEqual({ ...units, attend: false, attendBackward: true });
  });

  test.each<[string, Partial<UnitVariants>]>([
    ['a little wrong', { gradients: goingBack((problem) => ({ ...problem, scale: 0.51 })) }],
    ['no number', { gradients: goingBack((problem) => ({ ...problem, scale: NaN })) }],
    ['wrong where keys are hidden', { gradients: goingBack((problem) => ({ ...problem, causal: false })) }],
    [
      'wrong for padding',
      {
        gradients: goingBack(({ padding, ...problem }) => ({
          ...problem,
          padding: padding && { ...padding, offset: 1 },
        })),
      },
    ],
  ])('and all but gradients where those are %s', async (_, wrong) => {
    expect(await trusted(wrong)).toEqual({ ...units, attend: true, attendBackward: false });
  });

  test('and not done where no tile fits', async () => {
    expect(await trusted({ products: [plain] })).toBeUndefined();
  });

  test('without attention where its heads fit no matrices', async () => {
    const none = { attentions: [plainAttention], gradients: [plainGradient] };
    expect(await trusted(none)).toEqual({ ...units, attend: false, attendBackward: false });
  });
});

test('a driver that refuses their shaders has none; the device works on', async () => {
  const { matrixUnits } = device().traits;
  expect(matrixUnits).toBeUndefined();
  const live = device().memory.liveBytes;
  expect(await trustedUnits(device(), { rows: 16, columns: 16, depth: 16, lanes: 8 }, 'all')).toBeUndefined();
  expect(device().memory.liveBytes).toBe(live);
  await device().scope(async () => {
    expect([...(await device().tensor(Float32Array.of(1, 2), [2]).read())]).toEqual([1, 2]);
  });
});
