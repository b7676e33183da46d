/** The benchmark of whole models: what it counts is what happens, and stages add up to a reading. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { type EncoderPeer, compareEncoder } from '../bench/model/encoder_comparison.js';
import type { ReadingTimes } from '../bench/model/reading.js';
import type { StartUp } from '../bench/model/start_up.js';
import { timeTraining } from '../bench/model/training.js';
import type { OnnxModel } from '../bench/peers/onnx_model.js';
import { type Peer, PeerUnable } from '../bench/peers/index.js';
import { type BlockSizes, axisNames, forwardFlops, sizesAlong } from '../bench/scaling/axes.js';
import { type ScalingPoint, measureAxis } from '../bench/scaling/run.js';
import { scalingRows } from '../bench/scaling/table.js';
import { type Clip4StrModel, loadModel } from '../model/index.js';
import { openParameters } from '../weights/index.js';
import { runCommand } from './support/command.js';
import { useDevice } from './support/device.js';
import { fixtureOptions } from './support/fixture_models.js';
import { fixturePath } from './support/fixtures.js';
import { smallSettings } from './support/small_run.js';

const device = useDevice();

describe('reading', () => {
  test('is timed at each batch size, by stage', async () => {
    const bench = ['bench', '--model', '--device', 'software', '--batches', '1,3'];
    const { code, errors, stdout } = await runCommand([...bench, '--json']);
    expect([code, errors]).toEqual([0, []]);
    const report = JSON.parse(stdout) as { readings: ReadingTimes[]; startUp: StartUp };
    expect(report).toMatchObject({
      kind: 'model',
      checkpoint: 'clip4str_tiny.safetensors',
      precision: 'f32',
      machine: { node: process.version },
    });
    expect(report.readings.map(({ batchSize }) => batchSize)).toEqual([1, 3]);
    for (const times of report.readings) {
      // After each branch, after the refined visual reading, and at the end.
      expect(times.readBacks).toBe(4);
      expect(times.peeks).toBeGreaterThan(0);
      expect(times.fastestMs).toBeLessThanOrEqual(times.medianMs);
      expect(times.medianMs).toBeLessThanOrEqual(times.slowestMs);
      expect(Object.keys(times.stages)).toEqual([
        'decode',
        'resize',
        'upload',
        'image encoder',
        'visual decoder',
        'text encoder and cross decoder',
        'refinement, visual',
        'refinement, text and cross',
        'read-back',
        'of which text encoder, once',
      ]);
      for (const { ms, hostMs } of Object.values(times.stages)) {
        expect(ms).toBeGreaterThan(0);
        expect(hostMs).toBeGreaterThan(0);
        expect(hostMs).toBeLessThan(1.01 * ms + 0.1);
      }
      expect(times.hostMs).toBeGreaterThan(0);
      const { steps, dispatches } = times.stages['visual decoder']!;
      expect(steps).toBeGreaterThan(5);
      expect(steps).toBeLessThan(26);
      expect(dispatches).toBeGreaterThan(steps! * 10);
    }
    const { first, later, fastestMs, slowestMs, rounds } = report.startUp;
    const stages = ['Node started', 'modules loaded', 'device opened', 'model loaded', 'first text'];
    for (const start of [first, later]) expect(Object.keys(start.stages)).toEqual(stages);
    expect(rounds).toBe(3);
    expect(fastestMs).toBeLessThanOrEqual(later.firstTextMs);
    expect(later.firstTextMs).toBeLessThanOrEqual(slowestMs);
    const [one, three] = report.readings as [ReadingTimes, ReadingTimes];
    // Ids of several images are made dense to be read, and what they all ask in a pass is copied for each.
    expect(three.dispatches - one.dispatches).toBeLessThanOrEqual(3);
    expect(three.flops).toBeGreaterThan(2.5 * one.flops);
    expect(three.peakBytes).toBeGreaterThan(one.peakBytes);
    const table = await runCommand([...bench.slice(0, -1), '1']);
    expect(table.stdout).toMatch(
      /^clip4str_tiny\.safetensors, f32, on .*; loaded in \d+ ms\n\nat once +ms an image/,
    );
    expect(table.stdout).toMatch(/\nms an image, by stage +1\ndecode +\d/);
    expect(table.stdout).toMatch(
      /\nvisual decoder, 1 at once: a character takes 1[5-7] dispatches and [\d.]+ ms of the host, [\d.]+ µs a dispatch\n/,
    );
    expect(table.stdout).toMatch(
      /\nA whole read of one image, .*: \d+ ms with the caches as they were, later \d+ ms \(\d+ to \d+, 3 starts\)\.\nms until +first +later\n/,
    );
  }, 240_000);
});

describe('the image encoder beside others', () => {
  test('is set against each that takes whole models, or it is said why not', async () => {
    const source = await openParameters(fixturePath('models/fast.safetensors'));
    const model = (await loadModel(device(), source, fixtureOptions('fast'))) as Clip4StrModel;
    await source.close();
    const live = device().memory.liveBytes;
    const { image } = model.configuration;
    const patches = (image.imageSize[0] / image.patchSize[0]) * (image.imageSize[1] / image.patchSize[1]);
    const models: OnnxModel[] = [];
    let disposed = 0;
    const peer = (name: string, prepareModel?: Peer['prepareModel']): Peer => ({
      name,
      version: '1',
      computesOn: 'webgpu',
      prepare: () => Promise.reject(new PeerUnable('not asked for')),
      close: async () => {},
      ...(prepareModel && { prepareModel }),
    });
    const peers = [
      peer('of kernels alone'),
      peer('without memory', () => Promise.reject(new PeerUnable('out of memory'))),
      peer('all zeros', async (given) => {
        models.push(given);
        const count = given.outputs[0]!.shape.reduce((product, size) => product * size, 1);
        return {
          run: () => new Promise((resolve) => setTimeout(resolve, 20)),
          results: async () => ({ features: new Float32Array(count) }),
          dispose: async () => void disposed++,
        };
      }),
    ];
    const { rounds, ownMs, peers: others, batchSize } = await compareEncoder(device(), model, peers, 2);
    expect({ batchSize, rounds }).toEqual({ batchSize: 2, rounds: 7 });
    expect(ownMs).toBeGreaterThan(0);
    expect(others).toEqual([
      { name: 'without memory', unable: 'out of memory' },
      { name: 'all zeros', ms: expect.any(Number), ratio: expect.any(Number), difference: 1 },
    ]);
    const [, zeros] = others as [unknown, EncoderPeer];
    expect(zeros.ms).toBeGreaterThan(19);
    expect(zeros.ratio).toBeCloseTo(zeros.ms / ownMs, 10);
    expect(disposed).toBe(1);
    expect(device().memory.liveBytes).toBe(live);

    const [{ bytes, inputs, outputs }] = models as [OnnxModel];
    expect(inputs.map(({ name, shape }) => [name, shape])).toEqual([['images', [2, 3, ...image.imageSize]]]);
    const [features] = outputs;
    expect([features!.name, features!.shape.slice(0, 2)]).toEqual(['features', [2, 1 + patches]]);
    // The weights are in it.
    const visual = [...model.parameters.entries()].filter(([name]) => name.startsWith('clip_model.visual.'));
    const weightBytes = visual.reduce((total, [, tensor]) => total + tensor.bytes, 0);
    expect(bytes.length).toBeGreaterThan(weightBytes);
    expect(bytes.length).toBeLessThan(weightBytes + 20_000);
    const text = Buffer.from(bytes).toString('latin1');
    expect(text.match(/LayerNormalization/g)!.length).toBe(2 + 2 * image.layers);
    model.dispose();
  }, 60_000);

  test('needs f32 and CLIP', async () => {
    const bench = ['bench', '--model', '--device', 'software', '--batches', '1', '--peers'];
    // A peer that is there by its name alone, and is never loaded.
    const cache = mkdtempSync(join(tmpdir(), 'clip4str-peers-'));
    const folder = join(cache, 'peers/node_modules/onnxruntime-web');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "name": "onnxruntime-web", "version": "1.0.0" }');
    const env = { CLIP4STR_CACHE: cache };
    const [half, parseq] = await Promise.all([
      runCommand([...bench, '--precision', 'f16'], { env }),
      runCommand([...bench, '--untrained', 'parseq-tiny', '--quiet'], { env }),
    ]);
    rmSync(cache, { recursive: true });
    expect([half.code, half.errors]).toEqual([1, [expect.stringMatching(/compared in f32/)]]);
    expect([parseq.code, parseq.errors]).toEqual([1, [expect.stringMatching(/is no CLIP4STR model/)]]);
  }, 120_000);

  test('is refused before anything is measured where no peer is installed', async () => {
    const { code, errors, stdout } = await runCommand(
      ['bench', '--model', '--device', 'software', '--batches', '1', '--peers', '--quiet'],
      { env: { CLIP4STR_CACHE: join(tmpdir(), 'no-peers-here') } },
    );
    expect([code, stdout, errors]).toEqual([
      1,
      '',
      [
        expect.stringMatching(
          /--peers: none can take part \(onnxruntime-web: .*; onnxruntime-node: .*not installed/,
        ),
      ],
    ]);
  }, 120_000);
});

test('a model is made up where none is at hand', async () => {
  const bench = ['bench', '--model', '--device', 'software', '--untrained', 'parseq-tiny', '--batches', '1'];
  const [made, both] = await Promise.all([
    runCommand([...bench, '--precision', 'int8', '--json']),
    runCommand([...bench, '--checkpoint', 'x.safetensors']),
  ]);
  expect([made.code, made.errors]).toEqual([0, []]);
  const { readings, ...report } = JSON.parse(made.stdout) as { readings: ReadingTimes[] };
  expect(report).toMatchObject({
    checkpoint: 'random weights',
    precision: 'int8',
    startUp: { unable: expect.stringMatching(/made up/) },
  });
  expect(readings[0]!.readBacks).toBe(1);
  expect([both.code, both.errors]).toEqual([1, [expect.stringMatching(/leave out --checkpoint/)]]);
}, 240_000);

describe('scaling', () => {
  const sizes: BlockSizes = { batch: 1, tokens: 9, width: 64, depth: 1 };

  test('measures forward and training passes of each size, and leaves nothing behind', async () => {
    const live = device().memory.liveBytes;
    const told: number[][] = [];
    const all = [sizes, { ...sizes, depth: 2 }];
    const measured = await measureAxis(device(), 'depth', 'f32', (...done) => told.push(done), all);
    expect(told).toEqual([0, 1, 2, 3].map((done) => [done, 4]));
    expect(measured.points.map((point) => point.sizes)).toEqual(all);
    const [one, two] = measured.points.map(({ times }) => times);
    // Activations and norms are not among the multiply-adds.
    const flops = forwardFlops(sizes);
    expect(one!.forward.flops).toBeGreaterThanOrEqual(flops);
    expect(one!.forward.flops).toBeLessThan(1.1 * flops);
    expect(two!.forward.flops).toBe(2 * one!.forward.flops);
    expect(one!.training.flops).toBeGreaterThan(2.9 * flops);
    expect(two!.training.dispatches).toBeGreaterThan(two!.forward.dispatches);
    expect(device().memory.liveBytes).toBe(live);
    expect(scalingRows(measured).map(([depth]) => depth)).toEqual(['1', '2']);
  }, 120_000);

  test('calls it a cliff where work is done much slower than at the size before', () => {
    const point = (speed: number): ScalingPoint => {
      const times = { medianMs: 1, fastestMs: 1, flops: speed, flopsPerSecond: speed, dispatches: 1 };
      return { sizes, times: { forward: times, training: { ...times, flopsPerSecond: 1e9 } }, peakBytes: 1 };
    };
    const rows = scalingRows({ axis: 'depth', points: [4e9, 3.1e9, 2.2e9, 4e9].map(point) });
    expect(rows.map((cells) => cells[2])).toEqual(['4.0', '3.1', '2.2 !', '4.0']);
    expect(rows.map((cells) => cells[4])).toEqual(['1.0', '1.0', '1.0', '1.0']);
  });

  test('has sizes that both a CPU and a GPU get through', () => {
    for (const axis of axisNames) {
      const [few, many] = [sizesAlong(axis, true), sizesAlong(axis, false)];
      for (const along of [few, many]) {
        const values = along.map((own) => own[axis]);
        expect(values).toEqual(values.toSorted((a, b) => a - b));
        expect(along.length).toBeGreaterThan(5);
      }
    }
  });
});

describe('training', () => {
  test('is timed by whole steps', async () => {
    const settings = smallSettings.filter((setting) => !/batch_size|max_steps|accumulate|swa/.test(setting));
    const times = await timeTraining(device(), 'tiny', 2, settings);
    expect(times).toMatchObject({ preset: 'tiny', batchSize: 2, settings });
    expect(times.fastestMs).toBeLessThanOrEqual(times.stepMs);
    expect(times.stepMs).toBeLessThanOrEqual(times.slowestMs);
    expect(times.imagesPerSecond).toBeCloseTo(2000 / times.stepMs, 6);
    expect(times.dispatches).toBeGreaterThan(100);
    expect(times.peakBytes).toBeGreaterThan(4 * times.parameters);
    expect(times.flops).toBeGreaterThan(0);
  }, 240_000);

  test('takes presets alone, and no options of other modes', async () => {
    const [unknown, foreign] = await Promise.all([
      runCommand(['bench', '--training', 'small']),
      runCommand(['bench', '--training', 'tiny', '--html', 'x.html']),
    ]);
    expect([unknown.code, unknown.errors]).toEqual([
      1,
      [expect.stringMatching(/Allowed choices are .*tiny/)],
    ]);
    expect([foreign.code, foreign.errors]).toEqual([
      1,
      [expect.stringMatching(/--html belongs to --kernels; leave it out with --training/)],
    ]);
  });
});
