/** What a run keeps in its folder, and what it removes. */
import { type FileHandle, open } from 'node:fs/promises';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import type { Tensor } from '../engine/index.js';
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

/** The disk is full in the middle of a tensor, after as many whole writes. */
async function fillDisk(writes: number): Promise<void> {
  const handle = await open(folder);
  const handles = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const write = Reflect.get<FileHandle, 'writeFile'>(handles, 'writeFile');
  let left = writes;
  jest.spyOn(handles, 'writeFile').mockImplementation(async function (this: FileHandle, data) {
    if (left-- > 0) return write.call(this, data);
    await write.call(this, (data as Uint8Array).subarray(0, 10));
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  });
}

// A file takes two writes: its header, and its tensor.
test.each([
  ['model', 1, 'step-00000002.safetensors', []],
  ['state', 3, 'step-00000002.state.safetensors', ['step-00000002.safetensors']],
])(
  'a disk that is full in the middle of a %s leaves the checkpoint before it',
  async (_, writes, name, others) => {
    const tensors = (value: number): ReadonlyMap<string, Tensor> =>
      new Map([
        ['weight', { shape: [16], read: async () => new Float32Array(16).fill(value) } as unknown as Tensor],
      ]);
    const filled = (step: number): RunSnapshot => ({
      ...snapshot(step),
      model: tensors(step),
      stateTensors: tensors(-step),
    });
    const checkpoints = new Checkpoints(folder);
    await checkpoints.save(filled(1), 1);
    const files = readdirSync(folder).map((file) => [file, readFileSync(join(folder, file))] as const);
    await fillDisk(writes);
    try {
      await expect(checkpoints.save(filled(2), 1)).rejects.toThrow(
        `${name}: cannot be written: the disk is full. Make room in ${folder} and resume the run; earlier checkpoints`,
      );
    } finally {
      jest.restoreAllMocks();
    }
    expect(readdirSync(folder).sort()).toEqual([...files.map(([file]) => file), ...others].sort());
    for (const [file, bytes] of files) expect(readFileSync(join(folder, file))).toEqual(bytes);
    const notices: string[] = [];
    expect((await checkpoints.lastSound((notice) => notices.push(notice)))?.step).toBe(1);
    expect(notices).toEqual([]);
    await checkpoints.save(filled(2), 1);
    expect((await checkpoints.lastSound(() => {}))?.step).toBe(2);
  },
);
