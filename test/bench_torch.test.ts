/** PyTorch beside the engine: what goes between the processes, and what becomes of one that fails. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { KernelBench } from '../bench/kernels/run.js';
import { inputValues } from '../bench/kernels/values.js';
import type { ElementWork } from '../bench/kernels/work.js';
import type { ReadingComparison } from '../bench/model/torch_reading.js';
import { PeerUnable } from '../bench/peers/index.js';
import { openTorch } from '../bench/peers/torch.js';
import { FrameError, FrameReader, type Frame, frameBytes } from '../bench/peers/torch_frames.js';
import { TorchProcess } from '../bench/peers/torch_process.js';
import { defaultCheckpoint, openParameters } from '../weights/index.js';
import { runCommand } from './support/command.js';
import { useDevice } from './support/device.js';
import { echoing, fakePython } from './support/fake_python.js';

const device = useDevice();
const copy: ElementWork = { kernel: 'copy', count: 1003 };
const anything = z.looseObject({});

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'torch-'))));
afterAll(() => rm(folder, { recursive: true }));

describe('messages', () => {
  const tensors = [
    { name: 'x', shape: [2, 3], values: Float32Array.of(1, -2, 3.5, 0, 1e-30, Infinity) },
    { name: 'ids', shape: [2], values: Uint32Array.of(7, 0xffffffff) },
    { name: 'none', shape: [0, 4], values: new Float32Array() },
  ];

  test('are the same in whatever pieces they come', () => {
    const bytes = Buffer.concat([
      ...frameBytes({ op: 'run', times: 3 }, tensors),
      ...frameBytes({ op: 'stop' }, []),
    ]);
    for (const size of [1, 2, 5, 64, bytes.length]) {
      const frames: Frame[] = [];
      const reader = new FrameReader((frame) => frames.push(frame));
      for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
      expect(frames).toEqual([
        { message: { op: 'run', times: 3 }, tensors },
        { message: { op: 'stop' }, tensors: [] },
      ]);
    }
  });

  test.each([
    'Loading libraries ...',
    '[]',
    '{"tensors":[{"name":"x","shape":[-1],"type":"f32"}]}',
    '{"error":"no tensors"}',
  ])('are not %s', (line) => {
    const reader = new FrameReader(() => undefined);
    expect(() => reader.push(Buffer.from(`${line}\n`))).toThrow(FrameError);
    expect(() => new FrameReader(() => undefined).push(Buffer.from(`${line}\n`))).toThrow(
      JSON.stringify(line.slice(0, 80)),
    );
  });
});

const onPosix = process.platform === 'win32' ? describe.skip : describe;

onPosix('a peer in another process', () => {
  test('computes from our values, and is timed by its own clock', async () => {
    const peer = await openTorch(await fakePython(folder, echoing));
    try {
      expect(peer).toMatchObject({ name: 'PyTorch (fake)', version: '9.9', computesOn: 'cpu' });
      const bench = await KernelBench.open(device());
      const used = { work: copy, model: 'tiny', batch: 1, stage: 'training', purpose: 'a test' } as const;
      const row = await bench.row({ ...used, occurrences: 1 }, 'f32', [peer]);
      expect(row.unable).toEqual([]);
      expect(row.times.at(-1)).toMatchObject({ runner: 'PyTorch (fake)', variant: '9.9; made up', error: 0 });
      expect(row.times.at(-1)!.medianMs).toBe(2);
      expect(row.times.at(-1)!.hostMs).toBe(2);
    } finally {
      await peer.close();
    }
  }, 60_000);

  test('fails at one piece of work, and goes on with the next', async () => {
    const failing = `${echoing.replace('function answer', 'function usual')}
      let asked = 0;
      function answer(message, tensors) {
        asked++;
        if (asked === 1) send({ error: 'OutOfMemoryError: CUDA out of memory.\\nTried to allocate' });
        else usual(message, tensors);
      }`;
    const peer = await openTorch(await fakePython(folder, failing));
    const values = inputValues(copy, 'f32');
    await expect(peer.prepare(copy, 'f32', values)).rejects.toThrow(
      new PeerUnable('OutOfMemoryError: CUDA out of memory. Tried to allocate'),
    );
    const prepared = await peer.prepare(copy, 'f32', values);
    expect(await prepared.results()).toEqual({ result: values['x'] });
    await peer.close();
  });

  test('dies in the middle, which is told, and another is started', async () => {
    const dying = echoing.replace(
      'function answer({ op, times }, tensors) {',
      `function answer({ op, times }, tensors) {
        if (op === 'run' && times === 13) return process.kill(process.pid, 'SIGKILL');
        if (op === 'run' && times === 14) {
          return process.stderr.write('Traceback\\n  Segmentation fault\\n', () => process.exit(139));
        }`,
    );
    const python = await fakePython(folder, dying);
    const peer = await openTorch(python);
    const values = inputValues(copy, 'f32');
    const first = await peer.prepare(copy, 'f32', values);
    await expect(first.run(13)).rejects.toThrow(new PeerUnable(`${python} ended by SIGKILL`));
    await expect(first.run(1)).rejects.toThrow(PeerUnable);
    await first.dispose();
    const second = await peer.prepare(copy, 'f32', values);
    await expect(second.run(14)).rejects.toThrow(
      new PeerUnable(`${python} ended with exit code 139: Segmentation fault`),
    );
    const third = await peer.prepare(copy, 'f32', values);
    expect(await third.timedRun!(5)).toBe(10);
    await peer.close();
  });

  test('writes what is no message, and is ended', async () => {
    const python = await fakePython(folder, `function answer() { console.log('out of step'); } greet();`);
    const { process: child } = await TorchProcess.start(python, 'kernels');
    const request = child.request(anything, { op: 'run' });
    await expect(request).rejects.toThrow(
      `${python} answered "out of step", where a message with its tensors was expected.`,
    );
    expect(child.ended).toBe(true);
    await child.close();
  });

  test('is ended by an interruption, and where it does not end by itself', async () => {
    const stubborn = await fakePython(
      folder,
      'function answer() {} process.stdin.removeAllListeners("end"); setInterval(() => {}, 1000); greet();',
    );
    const controller = new AbortController();
    const { process: waiting } = await TorchProcess.start(stubborn, 'kernels', {
      signal: controller.signal,
    });
    const request = waiting.request(anything, { op: 'run' });
    controller.abort(new Error('interrupted'));
    await expect(request).rejects.toThrow('interrupted');
    await waiting.close();
    const { process: idle } = await TorchProcess.start(stubborn, 'kernels');
    await idle.close();
    expect(idle.ended).toBe(true);
    const started = TorchProcess.start(stubborn, 'kernels', { signal: controller.signal });
    await expect(started).rejects.toThrow('interrupted');
  }, 30_000);

  test.each([
    [
      'is not there',
      undefined,
      /cannot be started \(no such program\); install Python .* \(pip install torch\)/,
    ],
    ['has no PyTorch', `send({ error: 'python has no PyTorch' });`, /^python has no PyTorch$/],
    ['ends at once', `console.error('No module'); process.exit(1);`, /ended with exit code 1: No module$/],
    ['is another program', `console.log('Python 2.7');`, /answered "Python 2.7", where a message/],
    ['tells too little', `send({ name: 'PyTorch' });`, /answer has no usable version/],
  ])('whose Python %s tells so', async (_, body, reason) => {
    const python =
      body === undefined
        ? join(folder, 'missing')
        : await fakePython(folder, `function answer() {}\n${body}`);
    await expect(openTorch(python)).rejects.toBeInstanceOf(PeerUnable);
    await expect(openTorch(python)).rejects.toThrow(reason);
  });
});

onPosix('bench --torch', () => {
  test('is one more column of the kernels', async () => {
    const python = await fakePython(folder, echoing);
    const bench = ['bench', '--kernels', '--device', 'software', '--models', 'tiny', '--batches', '1'];
    const args = [...bench, '--filter', 'copy f32', '--quiet', '--torch', python];
    const { code, stdout, errors } = await runCommand(args);
    expect([code, errors]).toEqual([0, []]);
    expect(stdout).toMatch(/copy +8320 +f32 +PyTorch \(fake\) 9\.9; made up +2\.00 .* \d+\.\d\dx\n/);
    expect(stdout).toMatch(/kernel +type +rows +least +middle +PyTorch \(fake\)\n/);
  }, 60_000);

  test('reads the same images in turns', async () => {
    const reading = `
      let images = 0, weights = 0;
      function answer(message, tensors) {
        if (message.op === 'weight') weights += tensors[0].values.length / 4;
        if (message.op === 'give_images') images = tensors[0].shape[0];
        if (message.op !== 'read') return send({});
        const texts = Array.from({ length: images }, () => String(weights));
        send({ milliseconds: message.stopEarly ? 30 : 70, texts, peakBytes: null });
      }
      greet();`;
    const python = await fakePython(folder, reading);
    const bench = ['bench', '--model', '--device', 'software', '--batches', '2', '--torch', python];
    const { code, stdout, errors } = await runCommand([...bench, '--json', '--quiet']);
    expect([code, errors]).toEqual([0, []]);
    const { torch } = JSON.parse(stdout) as { torch: { comparisons: [ReadingComparison] } };
    expect(torch).toMatchObject({ name: 'PyTorch (fake)', version: '9.9', device: 'cpu' });
    const [row] = torch.comparisons;
    expect(row).toMatchObject({ batchSize: 2, sameTexts: 0 });
    for (const [key, torchMs] of [
      ['whole', 70],
      ['ending', 30],
    ] as const) {
      const { ownMs, ratio, ...rest } = row[key];
      expect(rest).toEqual({ torchMs });
      expect(ratio).toBeCloseTo(torchMs / ownMs, 6);
    }
    const source = await openParameters(defaultCheckpoint());
    const sizes = [...source.parameters].map(([, { shape }]) => shape.reduce((size, side) => size * side, 1));
    await source.close();
    const weights = String(sizes.reduce((sum, size) => sum + size, 0));
    expect(row.differingTexts).toMatchObject([{ torch: weights }, { torch: weights }]);
  }, 120_000);

  test('tells what to do where it cannot be', async () => {
    const missing = join(folder, 'missing');
    const [kernels, model, training, reference] = await Promise.all([
      runCommand(['bench', '--kernels', '--models', 'tiny', '--device', 'software', '--torch', missing]),
      runCommand(['bench', '--model', '--device', 'software', '--torch', missing]),
      runCommand(['bench', '--training', 'parseq', '--device', 'software', '--torch', missing]),
      runCommand(['bench', '--reference', 'x.safetensors', '--torch']),
    ]);
    for (const { code, errors } of [kernels, model]) {
      expect([code, errors]).toEqual([
        1,
        [expect.stringMatching(/^error: --torch: .*missing cannot be started .*pip install torch/)],
      ]);
    }
    expect([training.code, training.errors]).toEqual([
      1,
      [expect.stringMatching(/--torch: preset parseq trains another model than CLIP4STR/)],
    ]);
    expect([reference.code, reference.errors]).toEqual([
      1,
      [expect.stringMatching(/--torch belongs to --kernels and --model and --training/)],
    ]);
  }, 120_000);
});

const hasPython = spawnSync('python3', ['--version']).status === 0;

// Without Python there is no such test, and none that passes.
(hasPython ? test : () => undefined)('the scripts are Python 3.8', async () => {
  const scripts = new URL('../bench/peers/', import.meta.url);
  const names = (await readdir(scripts)).filter((name) => name.endsWith('.py'));
  expect(names).toContain('torch_kernels.py');
  const check = 'import ast, sys; ast.parse(sys.stdin.read(), feature_version=(3, 8))';
  for (const name of names) {
    const input = await readFile(new URL(name, scripts));
    const { stderr } = spawnSync('python3', ['-c', check], { input, encoding: 'utf8' });
    expect([name, stderr]).toEqual([name, '']);
  }
});
