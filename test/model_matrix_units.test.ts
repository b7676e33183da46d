/** Blocks of the encoders beside units for matrices, which lanes stand in for in attention. */
import { beforeAll, beforeEach, expect, jest, test } from '@jest/globals';
import { type Tensor, backward, cast, controlGradients, linear, scale } from '../engine/index.js';
import { type Launch, type Operand, matmulFamily } from '../kernels/index.js';
import { Parameters, type Precision } from '../model/parameters.js';
import { clipBlockNames, transformerBlock } from '../model/transformer.js';
import { LossScale } from '../train/loss_scale.js';
import { parameterSource } from '../train/parameter_source.js';
import { expectNear } from './support/attention_gradients.js';
import { useDevice } from './support/device.js';
import { useEmulatedMatrices } from './support/emulated_matrices.js';
import { Random, expectClose } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const emulated = useEmulatedMatrices();
const units = { rows: 16, columns: 32, depth: 32, lanes: 128 };
const [batch, tokens, heads, width] = [2, 37, 2, 64];
const names = clipBlockNames('block');
const launches: Launch[] = [];

async function parametersIn(precision: Precision): Promise<Parameters> {
  const shapes = new Map<string, readonly number[]>([
    [names.attentionInput[0], [3 * width, width]],
    [names.attentionInput[1], [3 * width]],
  ]);
  for (const norm of [names.norm1, names.norm2]) {
    shapes.set(`${norm}.weight`, [width]).set(`${norm}.bias`, [width]);
  }
  for (const [name, outputs, inputs] of [
    [names.attentionOutput, width, width],
    [names.expand, 4 * width, width],
    [names.contract, width, 4 * width],
  ] as const) {
    shapes.set(`${name}.weight`, [outputs, inputs]).set(`${name}.bias`, [outputs]);
  }
  const random = new Random(1);
  const read = (_: string, shape: readonly number[]): Promise<Float32Array> =>
    Promise.resolve(
      random.floats(
        shape.reduce((count, size) => count * size, 1),
        -0.3,
        0.3,
      ),
    );
  return Parameters.load(device(), parameterSource('block', 'clip', shapes, read), precision);
}

const block = (x: Tensor, parameters: Parameters, recompute = false): Tensor =>
  transformerBlock(x, parameters, names, {
    ...{ heads, activation: 'quick_gelu', epsilon: 1e-5, causal: true, recompute },
  });

const input = (count = tokens): Tensor =>
  device().tensor(new Random(2).floats(batch * count * width), [batch, count, width]);

let withoutUnits: ArrayLike<number>;
let gradientsWithoutUnits: ArrayLike<number>[];
/** Whether launches are noted alone: shaders take long to compile. */
let dry = false;

beforeAll(async () => {
  const parameters = await parametersIn('f16');
  withoutUnits = await device().scope(() => block(input(), parameters).read());
  parameters.dispose();
  gradientsWithoutUnits = await device().scope(() => gradientsOf());
  device().useMatrixUnits({ ...units, attend: true, attendBackward: true });
  // Emulated products take long to compile; others round alike.
  jest.spyOn(matmulFamily, 'kindOf').mockReturnValue('of a test');
  device().tune({
    kind: 'tuning',
    adapter: device().adapter.name,
    driver: device().info.description,
    choices: { 'matmul of a test': 'matmul_broadcast_16' },
  });
  const dispatch = device().dispatch.bind(device());
  device().dispatch = (build, tensors, label) => {
    const noted = (operands: readonly Operand[]): Launch => {
      const launch = build(operands);
      launches.push(launch);
      return emulated(launch);
    };
    if (dry) noted(tensors);
    else dispatch(noted, tensors, label);
  };
});

beforeEach(() => {
  launches.length = 0;
  dry = false;
});

/** Attention's kernel and types, and those of the products before and after it. */
function kernelsOf(all: readonly Launch[]): string[] {
  const at = all.findIndex(({ kernel }) => /^attention_(?!backward|statistics)/.test(kernel));
  const [before, attention, after] = all.slice(at - 1, at + 2);
  const types = attention!.defines;
  return [
    `${before!.kernel} gives ${before!.defines['RESULT']}`,
    `${attention!.kernel} of ${types['QUERY']} ${types['KEY']} ${types['VALUE']} gives ${types['RESULT']}`,
    `${after!.kernel} of ${after!.defines['LEFT']} gives ${after!.defines['RESULT']}`,
  ];
}

const inHalves = [
  'matmul_broadcast gives f16',
  'attention_matrix of f16 f16 f16 gives f16',
  'matmul_broadcast of f16 gives f32',
];
const inFloats = [
  'matmul_broadcast gives f32',
  'attention_broadcast of f32 f32 f32 gives f32',
  'matmul_broadcast of f32 gives f32',
];

test('a block in f16 attends by the units, in f16; an image gets what it gets alone', () =>
  device().scope(async () => {
    const parameters = await parametersIn('f16');
    const result = block(input(), parameters);
    expect(kernelsOf(launches)).toEqual(inHalves);
    expect(result.dtype).toBe('f32');
    const values = await result.read();
    expectClose(values, withoutUnits, 1e-3);
    const alone = await block(input().slice(0, 0, 1), parameters).read();
    expect(values.subarray(0, alone.length)).toEqual(alone);
    parameters.dispose();
  }));

test.each<[string, Precision, number, readonly string[]]>([
  ['so does one in int8', 'int8', tokens, inHalves],
  ['one in f32 does not', 'f32', tokens, inFloats],
  ['nor does one of fewer tokens than a tile has', 'f16', 15, inFloats],
])('%s', (_, precision, count, expected) =>
  device().scope(async () => {
    const parameters = await parametersIn(precision);
    dry = true;
    expect(block(input(count), parameters).dtype).toBe('f32');
    expect(kernelsOf(launches)).toEqual(expected);
    parameters.dispose();
  }),
);

/** Gradients of attention's projection and of what is before it, multiplied by the scale of the loss. */
async function gradientsOf(recompute = false, lossScale = 1): Promise<ArrayLike<number>[]> {
  const parameters = await parametersIn('f32');
  const trained = [...names.attentionInput, `${names.norm1}.weight`].map((name) =>
    parameters.get(name).requireGradient(),
  );
  parameters.withHalfCopies(() => {
    launches.length = 0;
    backward(block(input(), parameters, recompute), scale(input(), lossScale));
  });
  const gradients = dry ? [] : await device().readAll(trained.map(({ gradient }) => gradient!));
  parameters.dispose();
  return gradients;
}

const gradientKernels = (): string[] =>
  launches
    .filter(({ kernel }) => /^attention_(backward|statistics)/.test(kernel))
    .map(({ kernel, defines }) => `${kernel} gives ${defines['GRADIENT']}`);

test('one that is trained goes there and back by the units, in f16, to the gradients that others give', () =>
  device().scope(async () => {
    const gradients = await gradientsOf();
    expect(kernelsOf(launches)).toEqual(inHalves);
    expect(gradientKernels()).toEqual([
      'attention_statistics_matrix gives f32',
      'attention_backward_matrix_query gives f16',
      'attention_backward_matrix_key_value gives f16',
    ]);
    const products = (all: readonly Launch[]): string[] =>
      all.flatMap(({ defines: { LEFT, RESULT } }) => (LEFT ? [`of ${LEFT} gives ${RESULT}`] : []));
    const [first, last] = ['attention_statistics_matrix', 'attention_backward_matrix_key_value'].map((name) =>
      launches.findIndex(({ kernel }) => kernel === name),
    );
    expect(products(launches.slice(0, first)).at(-1)).toBe('of f32 gives f16');
    // Those of what was projected and of the weight, which goes to f32 in the end.
    expect(products(launches.slice(last))).toEqual(['of f16 gives f32', 'of f16 gives f32']);
    gradients.forEach((values, i) => expectNear(`gradient ${i}`, values, gradientsWithoutUnits[i]!, 3e-3));
  }));

test('so does one that is computed again', () =>
  device().scope(async () => {
    dry = true;
    await gradientsOf(true);
    expect(kernelsOf(launches)).toEqual(inHalves);
    expect(gradientKernels().length).toBe(3);
    expect(gradientKernels().every((name) => name.includes('matrix'))).toBe(true);
  }));

test('where its gradients overflow f16, steps are left out until the scale of the loss has come down', () =>
  device().scope(async () => {
    const lossScale = new LossScale({ scale: 2 ** 24, goodSteps: 0 });
    const skips: boolean[] = [];
    let unscaled: number[][] = [];
    while (skips.length === 0 || (skips.at(-1) && !lossScale.atLeast)) {
      const { value } = lossScale;
      const gradients = await gradientsOf(false, value);
      unscaled = gradients.map((values) => Array.from(values, (gradient) => gradient / value));
      const tensors = gradients.map((values) => device().tensor(Float32Array.from(values), [values.length]));
      const { skip } = controlGradients(tensors, { lossScale: value });
      skips.push((await skip.read())[0] === 1);
      lossScale.update(skips.at(-1)!);
    }
    expect(skips.length).toBeGreaterThan(1);
    expect(lossScale.value).toBe(2 ** (24 - (skips.length - 1)));
    unscaled.forEach((values, i) => expectNear(`gradient ${i}`, values, gradientsWithoutUnits[i]!, 3e-3));
  }));

test('where the units are not trusted with gradients, one that is trained does not, computed again or not', () =>
  device().scope(async () => {
    dry = true;
    device().useMatrixUnits({ ...units, attend: true, attendBackward: false });
    try {
      for (const recompute of [false, true]) {
        await gradientsOf(recompute);
        expect(kernelsOf(launches)).toEqual(inFloats);
        expect(gradientKernels().some((name) => name.includes('matrix'))).toBe(false);
        expect(gradientKernels().length).toBe(3);
      }
      // Reading does.
      const parameters = await parametersIn('f16');
      launches.length = 0;
      block(input(), parameters);
      expect(kernelsOf(launches)).toEqual(inHalves);
      parameters.dispose();
    } finally {
      device().useMatrixUnits({ ...units, attend: true, attendBackward: true });
    }
  }));

test.each<['f16' | 'f32', readonly string[]]>([
  ['f16', ['f32 by f16, rounded: true', 'f32 by f16, rounded: true', 'f32 by f32, rounded: true']],
  ['f32', ['f32 by f32, rounded: false', 'f32 by f32, rounded: false', 'f32 by f32, rounded: false']],
])('a weight in %s is multiplied and gets its gradient alike', (dtype, expected) =>
  device().scope(() => {
    const [x, weight] = [
      input().requireGradient(),
      device().tensor(new Float32Array(width ** 2), [width, width]),
    ];
    const stored = cast(weight.requireGradient(), dtype);
    dry = true;
    launches.length = 0;
    backward(linear(x, stored), input());
    const products = launches.filter(({ kernel }) => kernel.startsWith('matmul'));
    expect(
      products.map(({ defines: { LEFT, RIGHT, ROUNDED } }) => `${LEFT} by ${RIGHT}, rounded: ${ROUNDED}`),
    ).toEqual(expected);
  }),
);
