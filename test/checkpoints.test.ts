/** What a run keeps in its folder, and what it removes. */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Checkpoints, type RunSnapshot } from '../train/checkpoints.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'clip4str-checkpoints-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const snapshot = (step: number): RunSnapshot => ({
  model: new Map(),
  hyperParameters: {},
  stateTensors: new Map(),
  state: {
    step,
    images: 0,
    position: { epoch: 0, sample: 0 },
    samples: 1,
    permutations: [0, 0, 0, 0],
    dropoutStreams: 0,
    crossStarted: false,
    lossScale: { scale: 1, goodSteps: 0 },
    optimizerSteps: {},
    averaged: { count: 0, first: 0, last: 0 },
    validated: 0,
    best: null,
  },
});

test("the last ones stay, and models without a state, which are nobody else's to remove", async () => {
  const checkpoints = new Checkpoints(folder);
  writeFileSync(join(folder, 'step-00000001.safetensors'), 'kept by its owner');
  for (const step of [2, 3, 4, 5]) await checkpoints.save(snapshot(step), 2);
  expect(readdirSync(folder).sort()).toEqual([
    'step-00000001.safetensors',
    'step-00000004.safetensors',
    'step-00000004.state.safetensors',
    'step-00000005.safetensors',
    'step-00000005.state.safetensors',
  ]);
});

test('models of an earlier run are kept under other names', async () => {
  const checkpoints = new Checkpoints(folder);
  for (const text of ['first', 'second']) {
    writeFileSync(join(folder, 'best.safetensors'), text);
    await checkpoints.setModelsAside();
  }
  writeFileSync(join(folder, 'averaged.safetensors'), 'mean');
  expect(await checkpoints.setModelsAside()).toEqual(['averaged.earlier-1.safetensors']);
  const texts = readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]);
  expect(Object.fromEntries(texts)).toEqual({
    'best.earlier-1.safetensors': 'first',
    'best.earlier-2.safetensors': 'second',
    'averaged.earlier-1.safetensors': 'mean',
  });
});
