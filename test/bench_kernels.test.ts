/** The benchmark of the kernels: what it measures, that it sees wrong results, and what it tells. */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, jest, test } from '@jest/globals';
import { workCost } from '../bench/kernels/cost.js';
import { prepareOwnWork } from '../bench/kernels/own.js';
import { newtonSchulzUses } from '../bench/kernels/muon_work.js';
import { kernelPage } from '../bench/kernels/page.js';
import { type PlanOptions, planRows, rowText } from '../bench/kernels/plan.js';
import { type KernelReport, bestOwn, bestPeer, readOlderTimes } from '../bench/kernels/report.js';
import { KernelBench, type KernelRow } from '../bench/kernels/run.js';
import type { Runner } from '../bench/kernels/runner.js';
import { type UsedWork, modelNames, modelWork } from '../bench/kernels/shapes.js';
import { numberColumns, peerSummary, rowCells, summaryHead, tableHead } from '../bench/kernels/table.js';
import { tunedChoices, tuningOf } from '../bench/kernels/tuning.js';
import { inputValues } from '../bench/kernels/values.js';
import { type KernelName, type MatmulWork, type Work, operandsOf, roleOf } from '../bench/kernels/work.js';
import { Muon, type Tuning, attention, backward, cast, linear, scale } from '../engine/index.js';
import { type AdapterTraits, type MatmulProblem, matmulFamily } from '../kernels/index.js';
import { presetConfiguration } from '../train/configuration.js';
import { runCommand, samplePath } from './support/command.js';
import { useDevice } from './support/device.js';
import { tolerance } from './support/numbers.js';
import { oddWork } from './support/odd_work.js';

const device = useDevice();

function used(work: Work): UsedWork {
  return { work, model: 'tiny', batch: 1, stage: 'training', purpose: 'a test', occurrences: 1 };
}

const report = (rows: readonly KernelRow[]): KernelReport => ({
  kind: 'kernels',
  date: '2026-11-29T00:00:00.000Z',
  machine: {
    adapter: 'a <b>GPU</b>',
    backend: 'vulkan',
    driver: 'd',
    cpu: 'c',
    node: 'v20',
    webgpu: '0.6',
    version: '1',
  },
  peers: [],
  missing: [],
  clock: 'host',
  peaks: { flopsPerSecond: 1e11, bytesPerSecond: 1e10 },
  rows,
});

let opened: Promise<KernelBench> | undefined;
const openBench = (): Promise<KernelBench> => (opened ??= KernelBench.open(device()));

describe('every kernel', () => {
  test('has odd sizes here', () => {
    const named = modelNames.flatMap((model) => modelWork(model, 1)).map(({ work }) => work.kernel);
    const tested = new Set<KernelName>(oddWork.map(({ kernel }) => kernel));
    expect(named.filter((kernel) => !tested.has(kernel))).toEqual([]);
  });

  test.each(oddWork.map((work) => [work.kernel, work] as const))(
    '%s is timed in every variant, beside its error',
    async (_, work) => {
      const bench = await openBench();
      const int8 = work.kernel === 'matmul' && work.depth % 32 === 0;
      const dtypes = ['f32', device().traits.f16 && 'f16', int8 && 'int8'] as const;
      for (const dtype of dtypes.filter((name) => name !== false)) {
        const row = await bench.row(used(work), dtype);
        expect(row.unable).toEqual([]);
        expect(row.times.length).toBeGreaterThan(0);
        for (const times of row.times) {
          expect(times.error).toBeLessThanOrEqual(tolerance[dtype === 'int8' ? 'f32' : dtype]);
          expect(times.medianMs).toBeGreaterThan(0);
          expect(times.fastestMs).toBeLessThanOrEqual(times.medianMs);
        }
      }
      expect(device().memory.buffers).toBe(0);
    },
    120_000,
  );
});

describe('with others', () => {
  const work: Work = { kernel: 'softmax', rows: 5, width: 7 };
  /** Halves its results where they are to be wrong. */
  const peer = (name: string, factor: number): Runner => ({
    name,
    version: '1',
    computesOn: 'webgpu',
    prepare: async (_, __, { x }) => ({
      run: async (times) => {
        for (let time = 0; time < times; time++) await new Promise((resolve) => setTimeout(resolve, 2));
      },
      results: async () => {
        const result = new Float32Array(35);
        for (let row = 0; row < 5; row++) {
          const own = Array.from(x!.subarray(7 * row, 7 * row + 7), (value) => Math.exp(value));
          const sum = own.reduce((total, value) => total + value, 0);
          result.set(
            own.map((value) => (factor * value) / sum),
            7 * row,
          );
        }
        return { result };
      },
      dispose: async () => {},
    }),
  });
  const unable: Runner = {
    name: 'unable',
    version: '2',
    computesOn: 'webgpu',
    prepare: () => Promise.reject(new Error('has no softmax')),
  };

  test('wrong results and refusals are seen, the rest stands', async () => {
    const bench = await openBench();
    const row = await bench.row(used(work), 'f32', [peer('right', 1), unable, peer('wrong', 0.5)]);
    expect(row.unable).toEqual([{ runner: 'unable', reason: 'has no softmax' }]);
    const error = (runner: string) => row.times.find((times) => times.runner === runner)!.error;
    expect(error('right')).toBeLessThan(1e-6);
    expect(error('wrong')).toBeCloseTo(0.5, 5);
    expect(bestPeer(row, ['right', 'wrong'])!.runner).toBe('right');
    expect(bestPeer(row, ['right'])!.medianMs).toBeGreaterThanOrEqual(1);
    const peers = (['right', 'wrong'] as const).map((name) => ({
      name,
      version: '1',
      computesOn: 'webgpu' as const,
    }));
    const summary = { ...report([row]), peers };
    expect(summaryHead(summary)).toEqual(['kernel', 'type', 'rows', 'least', 'middle', 'right', 'wrong']);
    const [summed] = peerSummary(summary);
    expect(summed!.slice(0, 3)).toEqual(['softmax', 'f32', '1']);
    expect(summed![3]).toBe(summed![4]);
    expect(summed!.slice(5)).toEqual([summed![3], '']);
    const cells = rowCells(row);
    expect(cells).toHaveLength(4);
    expect(cells.at(-1)!.at(-1)).toBe('unable: has no softmax');
    for (const line of cells.slice(0, 3)) expect(line).toHaveLength(tableHead.length);
    expect(Math.max(...numberColumns)).toBe(tableHead.length - 1);
  });

  test('random numbers of others count, as far as they keep the scale', async () => {
    const bench = await openBench();
    const drawing = (name: string, scale: number): Runner => ({
      ...peer(name, 1),
      prepare: async (_, __, { x }) => ({
        run: async () => {},
        results: async () => ({ result: Float32Array.from(x!, (value, i) => (i % 3 ? scale * value : 0)) }),
        dispose: async () => {},
      }),
    });
    const peers = [drawing('right', 1 / 0.9), drawing('unscaled', 1)];
    const { times } = await bench.row(used({ kernel: 'dropout', count: 1003 }), 'f32', peers);
    const [own, right, unscaled] = times.map(({ error }) => error);
    // Ours has to keep just what the stream keeps.
    expect(own).toBeLessThan(1e-6);
    expect(right).toBeLessThan(1e-6);
    expect(unscaled).toBeCloseTo(0.1, 2);
  });

  test('operands beyond a binding are told, not tried', async () => {
    const bench = await openBench();
    const row = await bench.row(used({ kernel: 'copy', count: 2 ** 33 }), 'f32');
    expect(row.times).toEqual([]);
    expect(row.unable[0]!.reason).toMatch(/x f32\[8589934592\] exceeds the adapter's largest binding/);
  });
});

describe('rows', () => {
  const tuningWith = (choices: Record<string, string>): Tuning => ({
    kind: 'tuning',
    adapter: device().adapter.name,
    driver: device().info.description,
    choices,
  });
  /** Of a GPU with units for matrices and of one without. */
  const plain: AdapterTraits = {
    ...{ subgroupSize: 32, f16: true, software: false, maxWorkgroupsPerDimension: 65_535 },
    ...{ maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32_768, maxBoundTensors: 8 },
  };
  const withUnits = (attend: boolean, attendBackward: boolean): AdapterTraits => ({
    ...plain,
    matrixUnits: { rows: 16, columns: 16, depth: 16, lanes: 32, attend, attendBackward },
  });
  const all: PlanOptions = {
    ...{ models: modelNames, batches: [1, 8], dtypes: ['f32', 'f16'] },
    ...{ filter: '', traits: plain },
  };

  test('are those that a filter finds, each once', () => {
    const rows = planRows(all);
    expect(new Set(rows.map(({ used: { work }, dtype }) => JSON.stringify([work, dtype]))).size).toBe(
      rows.length,
    );
    const found = planRows({ ...all, filter: 'base  Encoding attention F16' });
    expect(found.length).toBeGreaterThan(3);
    for (const { used: use, dtype } of found) {
      expect(rowText(use, dtype)).toMatch(/^base .*encoding .*attention.*f16$/);
    }
    expect(planRows({ ...all, filter: 'nothing like it' })).toEqual([]);
    // Large has the tokens of base in its text encoder; asked for alone it is there all the same.
    const layernorms = planRows({ ...all, filter: 'refining layernorm f32' });
    expect(layernorms.every(({ used: { stage } }) => stage === 'refining')).toBe(true);
    expect(layernorms).toHaveLength(6);
  });

  test('have int8 where models have it in reading', () => {
    const rows = planRows({ ...all, dtypes: ['int8'] });
    expect(rows.length).toBeGreaterThan(20);
    const layer = { kernel: 'matmul', batch: 1, leftTransposed: false, rightTransposed: true };
    for (const { used: use } of rows) {
      expect(use.stage).not.toBe('training');
      expect(use.work).toMatchObject(use.stage === 'loading' ? { kernel: 'quantize' } : layer);
    }
    // Not the patches and the projection, which are no layers of their own.
    expect(rows.filter(({ used: { purpose } }) => /patches|projection/.test(purpose))).toEqual([]);
    for (const { used: use } of planRows({ ...all, dtypes: ['f16'] })) {
      expect(['quantize', 'end_padding', 'gradient_norm']).not.toContain(use.work.kernel);
    }
  });

  /** Kinds of products that some work asks for, named as a tuning names them. */
  async function kindsAsked(work: () => void): Promise<string[]> {
    const asked = new Set<string>();
    const kindOf = matmulFamily.kindOf.bind(matmulFamily);
    const spy = jest.spyOn(matmulFamily, 'kindOf').mockImplementation((problem) => {
      asked.add(kindOf(problem));
      return kindOf(problem);
    });
    try {
      await device().scope(async () => {
        // With none nobody asks.
        device().tune(tuningWith({ 'another kind': 'matmul_plain' }));
        work();
        await device().finish();
      });
    } finally {
      spy.mockRestore();
      device().tune(tuningWith({}));
    }
    return [...asked].sort();
  }

  /** Kinds that rows of the tiny model are kept by. */
  async function kindsKept(
    dtype: 'f32' | 'f16',
    traits: AdapterTraits,
    isAmong: (used: UsedWork) => boolean,
  ): Promise<string[]> {
    const rows = planRows({ ...all, models: ['tiny'], batches: [8], dtypes: [dtype], traits });
    const kept = await device().scope(async () =>
      rows.flatMap(({ used: use }) => {
        if (use.work.kernel !== 'matmul' || !isAmong(use)) return [];
        const { choice } = prepareOwnWork(device(), use.work, dtype, inputValues(use.work, dtype));
        return [choice!.key.replace('matmul ', '')];
      }),
    );
    return [...new Set(kept)].sort();
  }

  const zeros = (...shape: number[]) =>
    device().tensor(new Float32Array(shape.reduce((count, size) => count * size)), shape);

  test.each(['f32', 'f16'] as const)(
    'are kept for a tuning as a layer asks in %s, there and back',
    async (dtype) => {
      const asked = await kindsAsked(() => {
        const [rows, inputs, outputs] = [520, 128, 512];
        const weight = zeros(outputs, inputs).requireGradient();
        const x = zeros(rows, inputs).requireGradient();
        const result = linear(x, cast(weight, dtype), { bias: zeros(outputs) });
        backward(result, zeros(rows, outputs));
      });
      expect(asked).toHaveLength(3);
      expect(
        await kindsKept(dtype, plain, ({ purpose }) => purpose.startsWith('image encoder, feed-forward in')),
      ).toEqual(asked);
    },
  );

  test('are kept for a tuning as layers beside attention in f16 ask, there and back', async () => {
    const asked = await kindsAsked(() => {
      const [batch, tokens, width, heads] = [8, 65, 128, 2];
      const x = zeros(batch, tokens, width).requireGradient();
      const weights = [3 * width, width].map((outputs) =>
        cast(zeros(outputs, width).requireGradient(), 'f16'),
      );
      const packed = linear(x, weights[0]!, { dtype: 'f16' });
      const [query, key, value] = [0, 1, 2].map((part) =>
        packed.slice(2, part * width, (part + 1) * width).splitHeads(heads),
      );
      const attended = attention(query!, key!, value!);
      backward(linear(attended, weights[1]!, { dtype: 'f32' }), zeros(batch, tokens, width));
    });
    expect(asked).toHaveLength(6);
    expect(
      await kindsKept('f16', withUnits(true, true), ({ purpose }) =>
        /^image encoder, (query, key and value|attention output)/.test(purpose),
      ),
    ).toEqual(asked);
  });

  test('have f16 beside attention where units for matrices attend', () => {
    const halvesOf = (traits: AdapterTraits, dtypes: readonly ('f32' | 'f16' | 'int8')[], filter = '') =>
      planRows({ ...all, models: ['tiny'], batches: [8], dtypes, traits, filter }).flatMap(({ used: use }) =>
        use.work.kernel === 'matmul' && use.work.halves
          ? [`${use.stage}, ${use.purpose}: ${use.work.halves.join(' ')}`]
          : [],
      );
    const images = [
      'encoding, image encoder, query, key and value: result',
      'encoding, image encoder, attention output: left',
    ];
    const back = [
      'training, image encoder, query, key and value, gradient of the operand: left',
      'training, image encoder, query, key and value, gradient of the weight: left',
      'training, image encoder, attention output, gradient of the operand: result',
      'training, image encoder, attention output, gradient of the weight: right',
    ];
    const both = withUnits(true, true);
    expect(halvesOf(both, ['f16'], 'image encoder')).toEqual([...images, ...back]);
    expect(halvesOf(both, ['f16'], 'text encoder')).toHaveLength(2 + 2 + 4);
    expect(halvesOf(both, ['f16'], 'decoder')).toEqual([]);
    expect(halvesOf(both, ['int8'], 'image encoder')).toEqual(images);
    expect(halvesOf(withUnits(true, false), ['f16'], 'image encoder')).toEqual(images);
    expect(halvesOf(both, ['f32'])).toEqual([]);
    for (const traits of [plain, withUnits(false, true)])
      expect(halvesOf(traits, ['f16', 'int8'])).toEqual([]);
  });

  test("are the products of Muon's step, of matrices of any form", async () => {
    const asked: string[] = [];
    const named = (sizes: readonly number[], turned: boolean, added: boolean): string =>
      `${sizes.join('x')}${turned ? ' transposed' : ''}${added ? ' added' : ''}`;
    const spy = jest.spyOn(matmulFamily, 'kindOf').mockImplementation((problem: MatmulProblem) => {
      const { left, right, residual } = problem;
      expect([left.strides[3], right.dtype]).toEqual([1, 'f32']);
      const [outer, inner, rows, depth] = left.shape as [number, number, number, number];
      asked.push(
        named([outer * inner, rows, depth, right.shape[3]!], right.strides[2] === 1, residual !== undefined),
      );
      return 'of a test';
    });
    const groups = [
      [
        [48, 16],
        [16, 48],
        [16, 16],
        [48, 16],
      ],
      [[48, 16]],
    ];
    try {
      device().tune(tuningWith({ 'another kind': 'matmul_plain' }));
      await device().scope(async () => {
        const given = groups.map((shapes, g) => {
          const parameters = shapes.map((shape, i) => {
            const values = Float32Array.from({ length: shape[0]! * shape[1]! }, (_, j) => Math.sin(i + j));
            const parameter = device().tensor(values, shape).requireGradient();
            backward(scale(parameter, 2), parameter.detach());
            return [`${g}.${i}`, parameter] as const;
          });
          return { parameters: new Map(parameters), learningRate: 0.1, weightDecay: 0 };
        });
        const muon = new Muon(given);
        muon.step();
        await device().finish();
        muon.dispose();
      });
    } finally {
      spy.mockRestore();
      device().tune(tuningWith({}));
    }
    const planned = newtonSchulzUses(groups).flatMap(({ work, occurrences }) => {
      if (work.kernel !== 'matmul') throw new Error(work.kernel);
      const { batch, rows, depth, columns, rightTransposed, residual } = work;
      return Array.from({ length: occurrences }, () =>
        named([batch, rows, depth, columns], rightTransposed, residual),
      );
    });
    // Those of one shape and group together.
    expect(asked).toHaveLength(4 * 3 * 5);
    expect(planned.sort()).toEqual(asked.sort());
  });

  test('have an optimizer as the preset has it, whose products are f32', () => {
    const optimizing = (model: 'tiny' | 'base' | 'large') =>
      modelWork(model, 1).filter(
        ({ work }) => work.kernel === 'matmul' && roleOf(work) === 'of an optimizer',
      );
    // Stacks of 5 in the image encoder, 1 in the text encoder's trained layer and 4 and 2 in the decoders: each has four of
    // different shapes, of which two are as wide as the others are tall.
    expect(
      optimizing('tiny').map(({ occurrences, work }) => [(work as MatmulWork).batch, occurrences / 5]),
    ).toEqual([
      ...[5, 1].flatMap((stack) => [1, 5, 1, 1, 2, 2].map((products) => [stack, products])),
      // Square matrices make two products alike, of these and of the feed-forward layers.
      ...[1, 3, 1, 1].map((products) => [4, products]),
      ...[2, 2, 2].map((products) => [2, products]),
    ]);
    expect(optimizing('base')).toEqual([]);
    for (const model of ['tiny', 'base', 'large'] as const) {
      const muon = presetConfiguration(model).model.muon_lr !== null;
      const momenta = modelWork(model, 1).filter(({ work }) => work.kernel === 'momentum');
      expect(momenta).toHaveLength(muon ? 1 : 0);
      expect(optimizing(model).length > 0).toBe(muon);
    }
    const rows = planRows({ ...all, models: ['tiny'], filter: 'optimizer muon matmul' });
    expect(rows).toHaveLength(19);
    expect(rows.every(({ dtype }) => dtype === 'f32')).toBe(true);
    const [{ work }] = optimizing('tiny') as [UsedWork];
    for (const { dtype } of Object.values(operandsOf(work, 'f16').inputs)) expect(dtype).toBe('f32');
  });

  test('give gradients of weights in the memory order of these', () => {
    const purposes = ['image encoder, projection', 'image encoder, feed-forward in'];
    const gradients = modelWork('base', 1).filter(({ purpose }) =>
      purposes.some(
        (name) => purpose.startsWith(`${name}, gradient of the `) && !/bias|activation/.test(purpose),
      ),
    );
    expect(
      gradients.map(
        ({ work }) => work.kernel === 'matmul' && [work.rows, work.depth, work.columns, work.rightTransposed],
      ),
    ).toEqual([
      [197, 3072, 768, false],
      [3072, 197, 768, false],
      [197, 512, 768, true],
      [768, 197, 512, false],
    ]);
  });

  test("are the models' own sizes", () => {
    const query = modelWork('base', 8).find(
      ({ purpose }) => purpose === 'image encoder, query, key and value',
    )!;
    expect(query).toMatchObject({ occurrences: 12, work: { rows: 8 * 197, depth: 768, columns: 2304 } });
    const looked = modelWork('large', 1).find(
      ({ purpose, stage }) => stage === 'refining' && purpose === 'decoder, attention to the image',
    )!;
    expect(looked.work).toMatchObject({ heads: 8, queries: 26, keys: 257, width: 96 });
  });

  test('have dropout where the preset has it, and then attention in steps', () => {
    for (const model of ['tiny', 'base', 'large'] as const) {
      const training = modelWork(model, 2).filter(({ stage }) => stage === 'training');
      const decoder = training.filter(({ purpose }) => purpose.startsWith('decoder, '));
      const found = (kernel: KernelName) => decoder.filter(({ work }) => work.kernel === kernel);
      const dropped = presetConfiguration(model).model.dropout > 0;
      // Attention is fused unless its weights are dropped.
      expect(found('attention_gradient')).toHaveLength(dropped ? 0 : 3);
      for (const kernel of ['softmax', 'softmax_gradient'] as const) {
        expect(found(kernel)).toHaveLength(dropped ? 3 : 0);
      }
      if (!dropped) expect(found('dropout')).toEqual([]);
    }
    const dropouts = modelWork('base', 2).flatMap(({ work, occurrences }) =>
      work.kernel === 'dropout' ? [[work.count, occurrences]] : [],
    );
    const rows = 2 * 6 * 26;
    // Forward and backward, in both branches, of all permutations at once.
    expect(dropouts).toEqual([
      [rows * 8 * 26, 4],
      [rows * 8 * 197, 2],
      [rows * 8 * (197 + 16), 2],
      [rows * 512, 20],
      [rows * 2048, 4],
    ]);
  });

  test('have no gradients that training does not take', () => {
    for (const model of ['tiny', 'base', 'large'] as const) {
      const training = modelWork(model, 2).filter(({ stage }) => stage === 'training');
      const purposes = training.map(({ purpose }) => purpose);
      expect(purposes).toContain('image encoder, patches, gradient of the weight');
      expect(purposes).not.toContain('image encoder, patches, gradient of the operand');
      const tables = training.flatMap(({ work }) =>
        work.kernel === 'embedding_gradient' ? [work.tableRows] : [],
      );
      expect(tables).toEqual([97]);
    }
  });

  test('have the ends of texts where plain CLIP refines', () => {
    const gathers = modelNames.flatMap((model) =>
      modelWork(model, 3).filter(({ work }) => work.kernel === 'gather'),
    );
    expect(gathers.map(({ model, occurrences, work }) => [model, occurrences, work])).toEqual([
      ['base', 3, { kernel: 'gather', rows: 5, tableRows: 5 * 77, width: 512 }],
      ['large', 3, { kernel: 'gather', rows: 5, tableRows: 5 * 77, width: 768 }],
    ]);
    expect(gathers.every(({ purpose }) => purpose.includes('--clip-refine'))).toBe(true);
  });

  test('cost what their definition says', () => {
    const [product, , weighing, attention, causal] = oddWork;
    expect(workCost(product!, 'f32')).toEqual({
      flops: 2 * 2 * 19 * 37 * 45,
      bytes: 4 * (2 * 19 * 37 + 2 * 37 * 45 + 45 + 2 * 2 * 19 * 45),
    });
    const { flops, bytes } = workCost(weighing!, 'int8');
    expect(flops).toBe(2 * 19 * 96 * 45);
    expect(bytes).toBe(4 * (19 * 96 + 45 + 2 * 19 * 45) + (36 * 96 * 45) / 32);
    expect(workCost(weighing!, 'f16').bytes).toBe(4 * (19 * 96 + 45 + 2 * 19 * 45) + 2 * 96 * 45);
    expect(workCost(attention!, 'f16').flops).toBe(4 * 6 * 13 * 21 * 20);
    expect(workCost(causal!, 'f16').flops).toBe((4 * 2 * 17 * 17 * 32) / 2);
    expect(workCost({ kernel: 'embedding_gradient', rows: 2, tableRows: 100, width: 3 }, 'f32')).toEqual({
      flops: 0,
      bytes: 4 * (6 + 2 + 300),
    });
    expect(workCost({ kernel: 'adamw', count: 10 }, 'f16').bytes).toBe(10 * (6 * 4 + 2));
    expect(workCost({ kernel: 'embedding', rows: 2, tableRows: 100, width: 3 }, 'f32')).toEqual({
      flops: 0,
      bytes: 4 * (6 + 2 + 6),
    });
    expect(workCost({ kernel: 'gather', rows: 2, tableRows: 100, width: 3 }, 'f16').bytes).toBe(2 * 12 + 8);
    expect(workCost({ kernel: 'mean', rows: 5, width: 7 }, 'f16').bytes).toBe(2 * (35 + 5));
  });

  test('have inputs that f16 holds as they are', () => {
    for (const work of oddWork) {
      const values = inputValues(work, 'f16');
      for (const [name, { dtype }] of Object.entries(operandsOf(work, 'f16').inputs)) {
        if (dtype === 'f16')
          expect(values[name]!.every((value) => Number.isInteger(1024 * value))).toBe(true);
      }
    }
  });
});

describe('reports', () => {
  const folder = mkdtempSync(join(tmpdir(), 'clip4str-bench-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  test('are a page by itself, and can be compared with', async () => {
    const bench = await openBench();
    const rows = [await bench.row(used(oddWork[1]!), 'f32'), await bench.row(used(oddWork[7]!), 'f32')];
    const page = kernelPage(report(rows));
    expect(page).toContain('a &lt;b&gt;GPU&lt;/b&gt;');
    expect(page).not.toMatch(/<script|https?:(?!\/\/www\.w3\.org)/);
    expect(page.match(/<circle/g)).toHaveLength(1);
    const path = join(folder, 'old.json');
    writeFileSync(path, JSON.stringify(report(rows)));
    const older = await readOlderTimes(path);
    expect(older.adapter).toBe('a <b>GPU</b>');
    expect(older.ms(rows[0]!)).toBe(bestOwn(rows[0]!)!.medianMs);
    expect(older.ms({ ...rows[0]!, dtype: 'f16' })).toBeUndefined();
    const compared = { ...rows[1]!, olderMs: older.ms(rows[1]!)! };
    expect(rowCells(compared)[0]!.at(-1)).toMatch(/^was .*, 1\.00x$/);
    expect(kernelPage(report([compared]))).toMatch(/was .*, 1\.00x</);
  });

  test('that are none are refused by name', async () => {
    const path = join(folder, 'other.json');
    writeFileSync(path, '{"kind": "model"}');
    await expect(readOlderTimes(path)).rejects.toThrow(
      /other\.json: kind: .* Expected what bench --kernels --json/,
    );
    writeFileSync(path, '{');
    await expect(readOlderTimes(path)).rejects.toThrow(/other\.json is not JSON/);
  });
});

describe('a tuning', () => {
  const matmul = oddWork[0]!;
  const row = (key: string, dtype: 'f32' | 'f16', ms: Record<string, number>, wrong?: string): KernelRow => ({
    ...used(matmul),
    dtype,
    flops: 1,
    bytes: 1,
    choice: { key, expected: 'expected' },
    times: Object.entries(ms).map(([variant, medianMs]) => ({
      ...{ runner: 'clip4str-engine', variant, medianMs, fastestMs: medianMs, hostMs: medianMs, spread: 0 },
      ...{ samples: 7, clock: 'host', flopsPerSecond: 1, bytesPerSecond: 1 },
      ...{ shareOfPeakFlops: 1, shareOfPeakBytes: 1, error: variant === wrong ? 0.1 : 0 },
    })),
    unable: [],
  });
  const rows = [
    row('a', 'f32', { expected: 4, other: 2, third: 3 }),
    row('a', 'f32', { expected: 4, other: 4.4, third: 3 }),
    row('b', 'f32', { expected: 4, other: 3.9 }),
    row('c', 'f32', { expected: 4, other: 1 }, 'other'),
    row('d', 'f32', { expected: 4, other: 2 }),
  ];

  test('takes what is faster in all rows together, by more than noise, and right', () => {
    const choices = tunedChoices(rows);
    expect(choices.map(({ key, variant }) => [key, variant])).toEqual([
      ['a', 'third'],
      ['d', 'other'],
    ]);
    expect(choices.map(({ gain }) => gain)).toEqual([expect.closeTo(4 / 3), expect.closeTo(2)]);
  });

  test('keeps what was not measured again', () => {
    const before: Tuning = {
      ...{ kind: 'tuning', adapter: device().adapter.name, driver: device().info.description },
      choices: { b: 'old', z: 'old' },
    };
    expect(tuningOf(device(), before, rows)).toEqual({
      ...before,
      choices: { a: 'third', d: 'other', z: 'old' },
    });
  });
});

describe('the command', () => {
  const folder = mkdtempSync(join(tmpdir(), 'clip4str-bench-command-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const bench = (...args: string[]) => runCommand(['bench', '--device', 'software', ...args]);
  const few = ['--kernels', '--models', 'tiny', '--batches', '2', '--filter', 'decoding layernorm 2x128'];

  test('prints a table, or JSON that it compares with later', async () => {
    const first = await bench(...few, '--precision', 'f32', '--json');
    expect([first.code, first.errors]).toEqual([0, []]);
    const report = JSON.parse(first.stdout) as KernelReport;
    expect(report).toMatchObject({ kind: 'kernels', clock: expect.stringMatching(/^(device|host)$/) });
    expect(report.rows).toHaveLength(1);
    expect(report.rows[0]).toMatchObject({
      work: { kernel: 'layernorm', rows: 2, width: 128 },
      dtype: 'f32',
      times: [{ runner: 'clip4str-engine' }],
    });
    const [before, page] = [join(folder, 'before.json'), join(folder, 'kernels.html')];
    writeFileSync(before, first.stdout);
    const second = await bench(...few, '--compare', before, '--html', page);
    expect([second.code, second.errors]).toEqual([0, [`${page} shows the results.`]]);
    expect(second.stdout).toMatch(
      /\ntiny, batch 2: decoder, layernorm\n {2}layernorm +2x128 +f32 .* was \S+, \S+x\n/,
    );
    expect(second.stdout).toMatch(
      /GFLOP\/s of multiply-adds, .* GB\/s of a large copy, measured now; times by the clock of/,
    );
    expect(readFileSync(page, 'utf8')).toMatch(/^<!doctype html>/);
  });

  test('keeps the fastest variants, which every command takes', async () => {
    const env = { CLIP4STR_CACHE: folder };
    const product = ['--kernels', '--models', 'tiny', '--batches', '1', '--precision', 'f32', '--quiet'];
    const args = [
      'bench',
      '--device',
      'software',
      ...product,
      '--filter',
      'decoding matmul 1x128x128t',
      '--tune',
    ];
    expect(await runCommand(args, { env })).toMatchObject({ code: 0, errors: [] });
    const [name, ...others] = readdirSync(join(folder, 'tuning'));
    expect(others).toEqual([]);
    const file = join(folder, 'tuning', name!);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      kind: 'tuning',
      adapter: device().adapter.name,
      driver: device().info.description,
    });
    writeFileSync(file, '{');
    const read = ['read', '--device', 'software', samplePath('exit.png')];
    const { code, stdout, errors } = await runCommand(read, { env });
    expect([code, errors]).toEqual([0, [expect.stringMatching(/\.json is passed over \(tuning: .*\)$/)]]);
    expect(stdout).not.toBe('');
    const elsewhere = { kind: 'tuning', adapter: device().adapter.name, driver: 'another', choices: {} };
    writeFileSync(file, JSON.stringify(elsewhere));
    const [other, unreadable] = await Promise.all([
      runCommand(read, { env }),
      runCommand(read, { env: { CLIP4STR_CACHE: join(file, 'cache') } }),
    ]);
    expect([other.code, other.errors]).toEqual([0, [expect.stringMatching(/passed over .*driver another/)]]);
    expect([unreadable.code, unreadable.errors]).toEqual([0, []]);
  });

  test('refuses what it cannot do, in one line', async () => {
    const before = join(folder, 'page.html');
    writeFileSync(before, '{}');
    const refusals: [string[], RegExp][] = [
      [['--kernels', '--reference', 'x'], /bench: --kernels and --reference are given; give one of them/],
      [['--kernels', '--check'], /--check belongs to --reference; leave it out with --kernels/],
      [['--reference', 'x', '--batches', '1'], /--batches belongs to --kernels and --model and --training/],
      [['--kernels', '--models', 'huge'], /Expected names of tiny, base, large, square/],
      [['--kernels', '--filter', 'zzz'], /--filter zzz: no row has all of these words/],
      [['--kernels', '--compare', before], /page\.html: kind: /],
      [['--kernels', '--compare', before, '--html', before], /is the input .*; give another path/],
    ];
    const results = await Promise.all(refusals.map(([args]) => bench(...args)));
    for (const [i, { code, errors }] of results.entries()) {
      expect([code, errors]).toEqual([1, [expect.stringMatching(refusals[i]![1])]]);
    }
  });
});
