import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { inputValues } from '../bench/kernels/values.js';
import type { AttentionWork, MatmulWork, Work } from '../bench/kernels/work.js';
import { installPeers, openPeers, peerNames, peerPackages } from '../bench/peers/index.js';
import { onnxBytes } from '../bench/peers/onnx_format.js';
import { onnxModel } from '../bench/peers/onnx_model.js';
import { fromPeer, peerOperands, toPeer } from '../bench/peers/operands.js';
import { PeerUnable, orUnable } from '../bench/peers/peer_unable.js';

const matmul: MatmulWork = {
  kernel: 'matmul',
  batch: 1,
  rows: 3,
  depth: 5,
  columns: 2,
  leftTransposed: false,
  rightTransposed: true,
  bias: true,
  activation: 'gelu',
  residual: true,
};

const attention: AttentionWork = {
  kernel: 'attention',
  batch: 2,
  heads: 3,
  queries: 4,
  keys: 5,
  width: 6,
  causal: true,
};

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'peers-'));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function writePackage(
  folder: string,
  name: string,
  manifest: object,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  const at = join(folder, 'node_modules', name);
  await mkdir(at, { recursive: true });
  await writeFile(join(at, 'package.json'), JSON.stringify({ name, ...manifest }));
  for (const [path, text] of Object.entries(files)) await writeFile(join(at, path), text);
}

describe('peers that are not there', () => {
  test('are missing with the command that installs them', async () => {
    await withFolder(async (folder) => {
      const { peers, missing } = await openPeers(folder, 'software');
      expect(peers).toEqual([]);
      expect(missing.map(({ name }) => name)).toEqual(peerNames);
      for (const { reason } of missing) {
        expect(reason).toContain(`is not installed: npm install --ignore-scripts --prefix ${folder} `);
        expect(reason).toMatch(/@\d+\.\d+\.\d+$/);
      }
      expect(typeof navigator === 'undefined' || !('gpu' in navigator)).toBe(true);
    });
  });

  test('are missing with what they lack or say', async () => {
    await withFolder(async (folder) => {
      await writePackage(
        folder,
        'onnxruntime-node',
        { version: '9.9.9', main: 'index.cjs' },
        {
          'index.cjs': 'exports.Tensor = class {};',
        },
      );
      await writePackage(
        folder,
        '@tensorflow/tfjs',
        { version: '9.9.9', main: 'index.cjs' },
        {
          'index.cjs': 'throw new Error("no binary\\nfor this machine");',
        },
      );
      await writePackage(folder, '@tensorflow/tfjs-backend-webgpu', { version: '9.9.9' }, {});
      const { missing } = await openPeers(folder, 'software', ['onnxruntime-node', 'tfjs']);
      expect(missing).toEqual([
        { name: 'onnxruntime-node', reason: 'onnxruntime-node has no InferenceSession; 1.30.0 has.' },
        { name: 'tfjs', reason: 'no binary for this machine' },
      ]);
    });
  });

  test('give a reason of one line', async () => {
    const reason = orUnable(async () => {
      throw new Error(`a\n  long\treason ${'x'.repeat(1000)}`);
    });
    await expect(reason).rejects.toBeInstanceOf(PeerUnable);
    await expect(reason).rejects.toThrow(/^a long reason x{300,390}…$/);
  });
});

const onPosix = process.platform === 'win32' ? test.skip : test;

onPosix('all packages are installed at once in their versions, without scripts', async () => {
  await withFolder(async (folder) => {
    const npm = join(folder, 'npm');
    const script = `#!/bin/sh
      mkdir -p node_modules/@jax-js/jax
      echo '{"name":"@jax-js/jax","version":"0.1.25"}' > node_modules/@jax-js/jax/package.json
      echo "$@" > arguments`;
    await writeFile(npm, script, { mode: 0o755 });
    const peers = join(folder, 'peers');
    expect(await installPeers(peers, { npm })).toEqual(new Map([['@jax-js/jax', '0.1.25']]));
    expect(await readFile(join(peers, 'arguments'), 'utf8')).toContain('install --ignore-scripts');
    const manifest = JSON.parse(await readFile(join(peers, 'package.json'), 'utf8')) as object;
    expect(manifest).toMatchObject({ private: true, optionalDependencies: peerPackages });
  });
});

describe('layouts', () => {
  test('put the heads of a token side by side and back', () => {
    const values = inputValues(attention, 'f32');
    const there = toPeer(attention, 'tokens first', values);
    // Batch 1, head 2, token 3, element 4.
    expect(there['query']![((1 * 4 + 3) * 3 + 2) * 6 + 4]).toBe(
      values['query']![((1 * 3 + 2) * 4 + 3) * 6 + 4],
    );
    expect(fromPeer(attention, 'tokens first', there)).toEqual(values);
    expect(toPeer(attention, 'heads first', values)).toBe(values);
  });

  test('drop a batch of one matrix', () => {
    const shapes = (work: Work): unknown =>
      peerOperands(work, 'f32', 'heads first').inputs.map(({ shape }) => shape);
    expect(shapes(matmul)).toEqual([[3, 5], [2, 5], [2], [3, 2]]);
    expect(shapes({ ...matmul, batch: 2, bias: false, residual: false })).toEqual([
      [2, 3, 5],
      [2, 2, 5],
    ]);
  });
});

describe('ONNX models', () => {
  test('are the bytes of the format', () => {
    const x = { name: 'x', type: 'float32', shape: [2] } as const;
    const bytes = onnxBytes({
      nodes: [{ operator: 'Softmax', inputs: ['x'], output: 'y', attributes: { axis: -1 } }],
      initializers: [],
      inputs: [x],
      outputs: [{ ...x, name: 'y' }],
    });
    const text = (field: number, value: string): number[] => [
      (field << 3) | 2,
      value.length,
      ...Buffer.from(value),
    ];
    const part = (field: number, ...content: number[]): number[] => [
      (field << 3) | 2,
      content.length,
      ...content,
    ];
    // -1 takes ten bytes.
    const axis = [...text(1, 'axis'), 0x18, ...Array<number>(9).fill(0xff), 1, 0xa0, 1, 2];
    const node = [
      ...[...text(1, 'x'), ...text(2, 'y'), ...text(3, 'y'), ...text(4, 'Softmax')],
      ...[...part(5, ...axis), ...text(7, '')],
    ];
    const described = (name: string): number[] => [
      ...text(1, name),
      ...part(2, ...part(1, 8, 1, ...part(2, ...part(1, 8, 2)))),
    ];
    const graph = [
      ...[...part(1, ...node), ...text(2, 'work')],
      ...[...part(11, ...described('x')), ...part(12, ...described('y'))],
    ];
    expect([...bytes]).toEqual([
      ...[8, 10, ...part(7, ...graph)],
      ...part(8, ...text(1, ''), 16, 21),
      ...part(8, ...text(1, 'com.microsoft'), 16, 1),
    ]);
  });

  test('hold weights, and leave activations to the caller', () => {
    const { bytes, inputs, outputs } = onnxModel(matmul, 'f16', inputValues(matmul, 'f16'));
    expect(inputs.map(({ name, type, shape }) => [name, type, shape])).toEqual([
      ['left', 'float16', [3, 5]],
      ['residual', 'float16', [3, 2]],
    ]);
    expect(inputs[0]!.data).toBeInstanceOf(Uint16Array);
    expect(outputs).toEqual([{ name: 'result', type: 'float16', shape: [3, 2] }]);
    for (const name of ['Gemm', 'transB', 'Gelu', 'right', 'bias']) {
      expect(Buffer.from(bytes).includes(name)).toBe(true);
    }
    const work: MatmulWork = { ...matmul, bias: false, activation: 'none', optimizer: true };
    const given = onnxModel(work, 'f32', inputValues(work, 'f32')).inputs.map(({ name }) => name);
    expect(given).toEqual(['left', 'right', 'residual']);
  });

  test('hold weights in blocks of int8, which lose nothing of these', () => {
    const work = { ...matmul, depth: 64 };
    const values = inputValues(work, 'int8');
    const { bytes, inputs } = onnxModel(work, 'int8', values);
    expect(inputs.map(({ name, type }) => [name, type])).toEqual([
      ['left', 'float32'],
      ['residual', 'float32'],
    ]);
    const numbers = Uint8Array.from(values['right']!, (value) => 128 + 128 * value);
    expect(Buffer.from(bytes).includes(Buffer.from(numbers))).toBe(true);
    const scales = Buffer.from(new Float32Array(4).fill(1 / 128).buffer);
    expect(Buffer.from(bytes).includes(scales)).toBe(true);
    for (const name of ['MatMulNBits', 'right_scales', 'Gelu']) {
      expect(Buffer.from(bytes).includes(name)).toBe(true);
    }
  });

  test('take ids as i32 and give them as i64', () => {
    const embedding: Work = { kernel: 'embedding', rows: 4, tableRows: 3, width: 2 };
    const { inputs } = onnxModel(embedding, 'f32', inputValues(embedding, 'f32'));
    expect(inputs.map(({ name, data }) => [name, data])).toEqual([['index', Int32Array.of(0, 2, 1, 0)]]);
    const argmax: Work = { kernel: 'argmax', rows: 4, width: 2 };
    expect(onnxModel(argmax, 'f32', inputValues(argmax, 'f32')).outputs[0]!.type).toBe('int64');
  });

  test('cast from f32', () => {
    const work: Work = { kernel: 'cast', count: 3 };
    const { bytes, inputs, outputs } = onnxModel(work, 'f16', inputValues(work, 'f16'));
    expect([inputs[0]!.type, outputs[0]!.type]).toEqual(['float32', 'float16']);
    expect(Buffer.from(bytes).includes('Cast')).toBe(true);
  });

  test('join the heads of attention', () => {
    const { inputs, outputs } = onnxModel(attention, 'f32', inputValues(attention, 'f32'));
    expect(inputs.map(({ shape }) => shape)).toEqual([
      [2, 4, 18],
      [2, 5, 18],
      [2, 5, 18],
    ]);
    expect(outputs[0]!.shape).toEqual([2, 4, 18]);
  });

  test('pick from any tensor, and take means of rows', () => {
    const gather: Work = { kernel: 'gather', rows: 4, tableRows: 3, width: 2 };
    const { inputs, outputs } = onnxModel(gather, 'f32', inputValues(gather, 'f32'));
    expect(inputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['table', [3, 2]],
      ['index', [4]],
    ]);
    expect(outputs[0]!.shape).toEqual([4, 2]);
    const mean: Work = { kernel: 'mean', rows: 4, width: 3 };
    const model = onnxModel(mean, 'f16', inputValues(mean, 'f16'));
    expect(Buffer.from(model.bytes).toString('latin1')).toContain('ReduceMean');
    expect(model.outputs).toEqual([{ name: 'result', shape: [4], type: 'float16' }]);
  });

  test('are refused for gradients', () => {
    const work: Work = { kernel: 'softmax_gradient', rows: 2, width: 3 };
    expect(() => onnxModel(work, 'f32', inputValues(work, 'f32'))).toThrow(new PeerUnable('no gradients'));
  });
});
