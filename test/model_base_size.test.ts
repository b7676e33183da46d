/** CLIP4STR-B at its real size, with seeded weights: it loads from a streamed file, reads, and stays within memory. */
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { expectedParameters } from '../model/expected_parameters.js';
import { presetOf } from '../model/presets.js';
import { writeSafetensors } from '../weights/index.js';
import { useSummary } from './support/error_report.js';
import { peakRssCode } from './support/peak_memory.js';
import { withFolder } from './support/weights_files.js';

interface Measured {
  readonly adapter: string;
  readonly software: boolean;
  readonly loadSeconds: number;
  /** Highest resident memory of the process, beyond what it was when the device was opened. */
  readonly loadGrownBytes: number;
  readonly parameterBytes: number;
  readonly liveBytes: number;
  readonly readings: readonly {
    readonly images: number;
    readonly seconds: number;
    readonly texts: readonly string[];
    readonly confidences: readonly number[];
    readonly liveBytes: number;
    readonly peakBytes: number;
  }[];
}

// Jest looks globals up anew at each use, which 158 million times takes half a minute.
const { imul } = Math;
const megabyte = 1e6;
const lines = useSummary('CLIP4STR-B with seeded weights');

/** Uniform values of the spread that keeps activations at theirs; normalisations start as the identity. */
function seededValues(name: string, shape: readonly number[], seed: number): Float32Array {
  const size = shape.reduce((product, dimension) => product * dimension, 1);
  if (shape.length === 1 && name.endsWith('.weight')) return new Float32Array(size).fill(1);
  const fanIn = shape.length < 2 ? 2500 : shape.slice(1).reduce((product, side) => product * side, 1);
  const bound = Math.sqrt(3 / fanIn);
  const values = new Float32Array(size);
  let state = seed;
  for (let at = 0; at < size; at++) {
    // Numerical Recipes' linear congruence; its high bits are random enough for weights.
    state = (imul(state, 1664525) + 1013904223) | 0;
    values[at] = (state / 2 ** 31) * bound;
  }
  return values;
}

const child = (file: string): string => `
  import { openDevice } from ${JSON.stringify(new URL('../engine/index.js', import.meta.url).href)};
  import { Clip4Str } from ${JSON.stringify(new URL('../model/reader.js', import.meta.url).href)};
  const device = await openDevice({ hideDriverWarnings: true });
  ${peakRssCode}
  const baseBytes = process.memoryUsage.rss();
  const secondsSince = (start) => (performance.now() - start) / 1000;
  const loading = performance.now();
  const reader = await Clip4Str.load(device, ${JSON.stringify(file)});
  const loadSeconds = secondsSince(loading);
  const loadGrownBytes = peakRss() - baseBytes;
  const { liveBytes } = device.memory;
  const image = (seed) => ({
    normalized: Float32Array.from({ length: 3 * 224 * 224 }, (_, at) => Math.sin(seed + at * (0.001 + 0.01 * seed))),
  });
  const readings = [];
  for (const images of [[image(1)], [image(1), image(2)]]) {
    device.resetStatistics();
    const start = performance.now();
    const read = await reader.read(images);
    readings.push({
      images: images.length,
      seconds: secondsSince(start),
      texts: read.map(({ text }) => text),
      confidences: read.map(({ confidence }) => confidence),
      liveBytes: device.memory.liveBytes,
      peakBytes: device.memory.peakBytes,
    });
  }
  const { name, software } = device.adapter;
  const parameterBytes = reader.model.parameters.bytes;
  console.log(JSON.stringify({ adapter: name, software, loadSeconds, loadGrownBytes, parameterBytes, liveBytes, readings }));
  device.close();
`;

test('loads, reads one image and two, and stays within memory', async () => {
  await withFolder(async (folder) => {
    const file = join(folder, 'base.safetensors');
    const shapes = [...expectedParameters(presetOf('base'))];
    await writeSafetensors(
      file,
      shapes.map(([name, shape], index) => ({
        name,
        shape,
        dtype: 'f32' as const,
        read: () => seededValues(name, shape, index + 1),
      })),
    );
    const fileBytes = (await stat(file)).size;
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--input-type=module',
      '-e',
      child(file),
    ]);
    const measured = JSON.parse(stdout) as Measured;
    const { parameterBytes, liveBytes, readings } = measured;

    // A software adapter's memory is the process's own.
    const hostBytes = measured.loadGrownBytes - (measured.software ? liveBytes : 0);
    lines.push(
      `${measured.adapter}: file ${inMegabytes(fileBytes)}, loaded in ${measured.loadSeconds.toFixed(1)} s, ` +
        `${inMegabytes(liveBytes)} on the device, ${inMegabytes(hostBytes)} more on the host`,
      ...readings.map(
        ({ images, seconds, peakBytes }) =>
          `${images} image${images > 1 ? 's' : ''}: ${seconds.toFixed(1)} s, at most ${inMegabytes(peakBytes)} on the device`,
      ),
    );
    expect(fileBytes).toBeGreaterThan(630 * megabyte);
    expect(parameterBytes).toBeGreaterThan(0.99 * fileBytes);
    // The pool rounds sizes up by an eighth at most.
    expect(liveBytes).toBeLessThan(1.125 * parameterBytes);
    const largestBytes = 4 * Math.max(...shapes.map(([, shape]) => shape.reduce((a, b) => a * b, 1)));
    expect(hostBytes).toBeLessThan(largestBytes + 300 * megabyte);
    for (const reading of readings) {
      // What the next reading of as many images repeats.
      expect(reading.liveBytes - liveBytes).toBeLessThan(reading.images * 20 * megabyte);
      expect(reading.peakBytes - liveBytes).toBeLessThan(100 * megabyte);
      for (const confidence of reading.confidences) {
        expect(confidence).toBeGreaterThanOrEqual(0);
        expect(confidence).toBeLessThanOrEqual(1);
      }
    }
    const [one, two] = readings;
    expect(two!.texts[0]).toBe(one!.texts[0]);
    expect(Math.abs(two!.confidences[0]! - one!.confidences[0]!)).toBeLessThan(1e-6);
  });
}, 600_000);

function inMegabytes(bytes: number): string {
  return `${(bytes / megabyte).toFixed(0)} MB`;
}
