/** Blocks of the encoders beside units for matrices, which lanes stand in for in attention: what is read goes there. */
import { beforeAll, beforeEach, expect, jest, test } from '@jest/globals';
import { type Tensor, backward, cast, linear } from '../engine/index.js';
import { type Launch, type Operand, matmulFamily } from '../kernels/index.js';
import { Parameters, type Precision } from '../model/parameters.js';
import { clipBlockNames, transformerBlock } from '../model/transformer.js';
import { parameterSource } from '../train/parameter_source.js';
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
/** Whether launches are noted alone: shaders take long to compile. */
let dry = false;

beforeAll(async () => {
  const parameters = await parametersIn('f16');
  withoutUnits = await device().scope(() => block(input(), parameters).read());
  parameters.dispose();
  device().useMatrixUnits({ ...units, attend: true });
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

test.each([false, true])('nor does one that is trained, computed again: %s', (recompute) =>
  device().scope(async () => {
    const parameters = await parametersIn('f32');
    dry = true;
    // Of anything in the block.
    parameters.get(`${names.contract}.bias`).requireGradient();
    await parameters.withHalfCopies(() => {
      launches.length = 0;
      const result = block(input(), parameters, recompute);
      expect(kernelsOf(launches)).toEqual(inFloats);
      const before = launches.length;
      backward(result, input());
      expect(launches.length).toBeGreaterThan(before);
      expect(launches.filter(({ kernel }) => kernel === 'attention_matrix')).toEqual([]);
      return Promise.resolve();
    });
    parameters.dispose();
  }),
);

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
