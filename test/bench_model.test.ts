/** The benchmark of whole models: what it counts is what happens, and stages add up to a reading. */
import { describe, expect, test } from '@jest/globals';
import type { ReadingTimes } from '../bench/model/reading.js';
import { timeTraining } from '../bench/model/training.js';
import { runCommand } from './support/command.js';
import { useDevice } from './support/device.js';
import { smallSettings } from './support/small_run.js';

const device = useDevice();

describe('reading', () => {
  test('is timed at each batch size, by stage', async () => {
    const bench = ['bench', '--model', '--device', 'software', '--batches', '1,3'];
    const { code, errors, stdout } = await runCommand([...bench, '--json']);
    expect([code, errors]).toEqual([0, []]);
    const report = JSON.parse(stdout) as { readings: ReadingTimes[] };
    expect(report).toMatchObject({
      kind: 'model',
      checkpoint: 'clip4str_tiny.safetensors',
      precision: 'f32',
      machine: { node: process.version },
    });
    expect(report.readings.map(({ batchSize }) => batchSize)).toEqual([1, 3]);
    for (const times of report.readings) {
      // Between the branches, after the refined visual reading, and at the end.
      expect(times.readBacks).toBe(3);
      expect(times.peeks).toBeGreaterThan(0);
      expect(times.fastestMs).toBeLessThanOrEqual(times.medianMs);
      expect(times.medianMs).toBeLessThanOrEqual(times.slowestMs);
      expect(Object.keys(times.stagesMs)).toEqual([
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
      for (const ms of Object.values(times.stagesMs)) expect(ms).toBeGreaterThan(0);
    }
    const [one, three] = report.readings as [ReadingTimes, ReadingTimes];
    // Ids of several images are made dense to be read.
    expect(three.dispatches - one.dispatches).toBeLessThanOrEqual(1);
    expect(three.flops).toBeGreaterThan(2.5 * one.flops);
    expect(three.peakBytes).toBeGreaterThan(one.peakBytes);
    const table = await runCommand([...bench.slice(0, -1), '1']);
    expect(table.stdout).toMatch(
      /^clip4str_tiny\.safetensors, f32, on .*; loaded in \d+ ms\n\nat once +ms an image/,
    );
    expect(table.stdout).toMatch(/\nms an image, by stage +1\ndecode +\d/);
  }, 240_000);
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
