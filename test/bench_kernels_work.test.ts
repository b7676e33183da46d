/** The rows of the benchmark of the kernels beside what a reading and a training step of such a model dispatch. */
import { beforeAll, describe, expect, jest, test } from '@jest/globals';
import { imageEncoderUses, isProjection } from '../bench/kernels/encoder_work.js';
import { modelWork } from '../bench/kernels/shapes.js';
import { trainingUses } from '../bench/kernels/training_work.js';
import type { Use } from '../bench/kernels/use.js';
import type { KernelName, Work } from '../bench/kernels/work.js';
import { copyInto, dropout } from '../engine/index.js';
import { type Launch, type Operand, activationNames, attentionBackwardSteps } from '../kernels/index.js';
import { CharsetAdapter, Clip4StrModel } from '../model/index.js';
import { Parameters } from '../model/parameters.js';
import { presetConfiguration } from '../train/configuration.js';
import type { Vl4StrConfiguration } from '../train/configuration_schema.js';
import { initialWeights } from '../train/initial_weights.js';
import { clip4strConfiguration } from '../train/model_configuration.js';
import { parameterGroups } from '../train/parameter_groups.js';
import { TrainingStep } from '../train/training_step.js';
import { useDevice } from './support/device.js';

const device = useDevice({ device: 'software' });
const [batch, permutations] = [2, 6];
const sizes = clip4strConfiguration(presetConfiguration('tiny') as Vl4StrConfiguration);

const productKernels = ['matmul', 'attention', 'attention_gradient'] as const;
const rowKernels = [
  ...(['layernorm', 'layernorm_gradient', 'softmax', 'softmax_gradient'] as const),
  ...(['cross_entropy', 'cross_entropy_gradient', 'argmax', 'end_padding'] as const),
] as const;
const elementKernels = ['gelu', 'quick_gelu', 'gelu_gradient', 'quick_gelu_gradient', 'dropout'] as const;

/** Kernels of which rows are all that is dispatched; of others they are the largest or the most common. */
const compared: readonly KernelName[] = [...productKernels, ...rowKernels, ...elementKernels];

type Tally = Readonly<Record<string, number>>;

function tallied(entries: readonly (readonly [text: string, times: number])[]): Tally {
  const tally: Record<string, number> = {};
  for (const [text, times] of [...entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
    tally[text] = (tally[text] ?? 0) + times;
  }
  return tally;
}

function textOf(work: Work): string {
  return Object.values(work).map(String).join(' ');
}

function planned(uses: readonly Use[]): Tally {
  const rows = uses.filter(({ work }) => compared.includes(work.kernel));
  return tallied(rows.map(({ work, occurrences }) => [textOf(work), occurrences]));
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((count, size) => count * size, 1);

/** What a launch does, as rows have it. */
function workOf({ kernel, params }: Launch, operands: readonly Operand[]): Work | undefined {
  const [first, second] = operands as [Operand, Operand];
  if (kernel.startsWith('matmul')) return matmulOf(params, operands);
  const heads = (query: Operand, key: Operand) => {
    const [own, count, queries, width] = query.shape as [number, number, number, number];
    return {
      batch: own,
      heads: count,
      queries,
      keys: key.shape[2]!,
      width,
      causal: params['keysAhead']!.value === 0,
    };
  };
  if (kernel.startsWith('attention_statistics')) {
    const key = attentionBackwardSteps.find(({ name }) => name === 'statistics')!.operands.indexOf('key');
    return { kernel: 'attention_gradient', ...heads(first, operands[key]!) };
  }
  if (kernel.startsWith('attention_backward')) return undefined;
  if (kernel.startsWith('attention')) return { kernel: 'attention', ...heads(first, second) };
  const name = kernel.replace('quickGelu', 'quick_gelu');
  const ofRows = rowKernels.find((own) => own === name);
  const ofElements = elementKernels.find((own) => own === name);
  const [count, width] = [sizeOf(first.shape), first.shape.at(-1)!];
  if (ofRows) return { kernel: ofRows, rows: count / width, width };
  return ofElements && { kernel: ofElements, count };
}

function matmulOf(params: Launch['params'], operands: readonly Operand[]): Work {
  const [left, right] = operands as [Operand, Operand];
  const [outer, inner, rows, depth] = left.shape as [number, number, number, number];
  const leftTransposed = left.strides[2] === 1 && depth > 1;
  // The right operand is a weight else, which is narrow in any case.
  const ofActivations = {
    left,
    ...(leftTransposed ? { right } : {}),
    result: operands.at(-1)!,
  };
  const halves = (Object.keys(ofActivations) as (keyof typeof ofActivations)[]).filter(
    (name) => ofActivations[name]!.dtype === 'f16',
  );
  return {
    kernel: 'matmul',
    batch: outer * inner,
    rows,
    depth,
    columns: right.shape[3]!,
    leftTransposed,
    rightTransposed: right.strides[2] === 1,
    bias: params['hasBias']!.value === 1,
    activation: activationNames[params['activation']!.value]!,
    residual: params['hasResidual']!.value === 1,
    ...(halves.length > 0 ? { halves } : {}),
  };
}

/**
 * What some work dispatches.
 * @param dry whether it only says so, which leaves results empty
 */
async function dispatched(dry: boolean, work: () => unknown): Promise<Tally> {
  const seen: [string, number][] = [];
  const dispatch = device().dispatch.bind(device());
  const spy = jest.spyOn(device(), 'dispatch').mockImplementation((build, tensors, label) => {
    const noted = (operands: readonly Operand[]): Launch => {
      const launch = build(operands);
      const own = workOf(launch, operands);
      if (own && compared.includes(own.kernel)) seen.push([textOf(own), 1]);
      return launch;
    };
    if (dry) noted(tensors);
    else dispatch(noted, tensors, label);
  });
  try {
    await device().scope(async () => void (await work()));
  } finally {
    spy.mockRestore();
  }
  return tallied(seen);
}

let model: Clip4StrModel;
beforeAll(async () => {
  model = new Clip4StrModel(
    device(),
    await Parameters.load(device(), initialWeights(sizes, 1), 'f32'),
    sizes,
  );
});

test('a reading', async () => {
  const parameters = Parameters.allocate(device(), initialWeights(sizes, 1), 'f32', { turned: true });
  await parameters.upload(device(), initialWeights(sizes, 1));
  const reading = new Clip4StrModel(device(), parameters, sizes);
  // The same character everywhere: the draft is right, and no text ends before its last position.
  for (const branch of ['visual_decoder', 'cross_decoder']) {
    const bias = parameters.get(`${branch}.head.bias`);
    const values = Float32Array.from({ length: bias.size }, (_, id) => (id === 7 ? 1000 : 0));
    device().scope(() => copyInto(device().tensor(values, bias.shape), bias));
  }
  const adapter = new CharsetAdapter(sizes.testCharset);
  const { decodeAutoregressive: autoregressive, refineIterations } = sizes;
  const found = await dispatched(false, async () => {
    const images = device().tensor(new Float32Array(batch * 3 * 32 * 128), [batch, 3, 32, 128]);
    const options = { autoregressive, refineIterations, stopping: 'independent', endsEarly: true } as const;
    await reading.recognize(images, { ...options, captionAdapter: adapter });
  });
  parameters.dispose();
  const uses = modelWork('tiny', batch).filter(({ stage }) =>
    ['encoding', 'decoding', 'refining'].includes(stage),
  );
  // Attention to the text has one more key in each step, for which a row of the middle stands.
  const middle = (tally: Tally): Tally =>
    tallied(
      Object.entries(tally).map(([text, times]) => [
        text.replace(new RegExp(`^(attention ${batch} 4 1) (?!65|81)\\d+`), '$1 middle'),
        times,
      ]),
    );
  expect(middle(found)).toEqual(middle(planned(uses)));
});

/** The types beside attention that units for matrices ask for. */
function inHalves(use: Use): Use {
  const { work, besideAttention } = use;
  return work.kernel === 'matmul' && besideAttention
    ? { ...use, work: { ...work, halves: besideAttention.halves } }
    : use;
}

describe.each([
  ['that drops nothing', false, false],
  ['that drops elements at random', true, false],
  ['in f16 beside units for matrices', false, true],
])('a training step %s', (_, dropped, half) => {
  test('there and back', async () => {
    if (half) {
      const units = { rows: 16, columns: 16, depth: 16, lanes: 32 };
      device().useMatrixUnits({ ...units, attend: true, attendBackward: true });
    }
    const shapes = new Map([...model.parameters.entries()].map(([name, { shape }]) => [name, shape]));
    // All blocks are trained.
    const freezing = { imageLayers: -1, textLayers: 0 };
    const rates = { learningRate: 1, weightDecay: 0, decoderRateFactor: 1, decoderDecayFactor: 1 };
    const groups = parameterGroups(shapes, { model: 'vl4str', freezing }, rates);
    const training = new TrainingStep(model, groups, { betas: [0.9, 0.98], epsilon: 1e-6 });
    const images = {
      pixels: new Float32Array(batch * 3 * 32 * 128),
      labels: Array.from({ length: batch }, () => 'a'.repeat(25)),
      permutations: Array.from({ length: permutations }, () => Array.from({ length: 27 }, (_, i) => i)),
    };
    const stream = { seed: [1, 2], offset: 3 } as const;
    const found = await dispatched(true, () =>
      training.rehearseGradientsOf(images, {
        halfPrecision: half,
        dropout: dropped ? (x) => dropout(x, 0.1, stream) : undefined,
      }),
    );
    training.clearGradients();
    training.dispose();
    const recipe = { dropped, permutations, trained: 1, muonGroups: [] };
    const uses = [
      ...imageEncoderUses(sizes, batch).filter(
        (use) => !isProjection(use) && (use.work.kernel !== 'matmul' || use.work.activation === 'none'),
      ),
      ...trainingUses(sizes, batch, recipe),
    ];
    expect(found).toEqual(planned(half ? uses.map(inHalves) : uses));
  });
});
