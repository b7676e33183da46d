/** The tables of measurements in the README. */
import type { KernelReport } from '../kernels/report.js';
import { readingStepWork, trainingStepWork } from '../kernels/shapes.js';
import type { StartUp } from '../model/start_up.js';
import type { ScalingAxis } from '../scaling/run.js';
import { closeText, fastestText, groupTable, groupsText, rangeText, shortTable } from './kernel_tables.js';
import { digits, markdownTable, memoryText } from './markdown.js';
import { cliffs, encoderTable, memoryTable, startOf, trainingTable } from './model_tables.js';
import type { Stored } from './stored.js';

const [start, end] = [
  '<!-- made by node dist/bench/measurements/write.js -->',
  '<!-- end of what is made -->',
];

/**
 * The README with these tables in the place of those that it has.
 * @throws Error where the two comments that enclose them are not there
 */
export function withTables(readme: string, tables: string): string {
  const [before, ...rest] = readme.split(start);
  const [, after, ...more] = rest.join(start).split(end);
  if (rest.length !== 1 || after === undefined || more.length > 0) {
    throw new Error(`README.md: expected "${start}" and then "${end}", once each.`);
  }
  return `${before}${start}\n\n${tables}\n\n${end}${after}`;
}

/** What the README shows of them. */
export function readmeTables(stored: Stored): string {
  const { readingTiny, readingBase, encoder, tiny, squares, trainingSpeed, trainingMemory, scaling } = stored;
  const start = startOf(readingTiny);
  const [read, step] = [readingStepWork('tiny', 8), trainingStepWork('tiny', 8)];
  return [
    '**Reading**, images in memory to texts, medians (`bench --model`): the shipped model reading a word of four letters, and CLIP4STR-B made up by `--untrained base`, whose random weights read all 26 positions.',
    markdownTable(
      ['model', 'images at once', 'ms an image', 'fastest to slowest', 'images a second', 'device memory'],
      [readingTiny, readingBase].flatMap(({ readings }, model) =>
        readings.map((own) => [
          ['shipped', 'CLIP4STR-B'][model]!,
          String(own.batchSize),
          digits(own.medianMs / own.batchSize),
          `${digits(own.fastestMs / own.batchSize)} to ${digits(own.slowestMs / own.batchSize)}`,
          digits(own.imagesPerSecond),
          memoryText(own.peakBytes),
        ]),
      ),
      [1, 2, 3, 4, 5],
    ),
    ...(start ? [startText(start)] : []),
    '**Beside others**, in turns in one run: how many times as long as this engine they take. ONNX Runtime Web, TensorFlow.js and jax-js compute on the same WebGPU ' +
      `adapter; ONNX Runtime on the CPU does without WebGPU between, and is up to ${fastestText(encoder.f32, 'ONNX Runtime (CPU)')} times as fast as this engine. CLIP's B/16 ` +
      'image encoder as a whole (`bench --model --untrained base --peers`):',
    encoderTable(readingBase),
    'Kernel by kernel, for one image in f32 (`bench --kernels --models base --batches 1 --filter "encoding f32" --peers`):',
    shortTable(encoder.f32, /^image encoder, /),
    `With weights in f16 the fastest of them whose results are right takes ${rangeText(encoder.f16, 'matmul')} times as long for the products of both encoders, and in int8 ` +
      `${rangeText(encoder.int8, 'matmul')} times. A product of 768 cubed runs at ${squareText(squares)}.`,
    `The shipped model, 8 images (\`bench --kernels --models tiny --filter f32 --peers\`). ${groupsText} A reading of texts that fill all positions:`,
    groupTable(tiny, read),
    'A training step:',
    groupTable(tiny, step),
    `${closeText(tiny, read, 'a reading')} ${closeText(tiny, step, 'a training step')}`,
    '**A training step** of both branches, six permutations, rendered words, data and optimizer included (`bench --training <preset>`):',
    trainingTable(trainingSpeed),
    `A step of \`base\` takes ${trainingMemory
      .flatMap(({ steps }) => steps)
      .map(
        (own) =>
          `${memoryText(own.peakBytes)} with ${own.batchSize} images${own.settings.length > 0 ? ' in f32' : " in the preset's mixed precision"}`,
      )
      .join(', and ')}.`,
    scalingText(scaling.axes),
    '**Memory**: one image read by CLIP4STR-L (`bench --model --untrained large`).',
    memoryTable(stored.readingLarge),
  ].join('\n\n');
}

function squareText({ rows: [row] }: KernelReport): string {
  const speedOf = (variant: string): number =>
    row!.times.find((times) => times.variant === variant)!.flopsPerSecond;
  const [own, plain] = [speedOf(row!.choice!.expected), speedOf('matmul_plain')];
  return `${(own / 1e9).toFixed(0)} GFLOP/s, ${(own / plain).toFixed(1)} times the plain register tile in the same run`;
}

function scalingText(axes: readonly ScalingAxis[]): string {
  const ranges = axes.map(
    ({ axis, points }) => `${axis} (${points[0]!.sizes[axis]} to ${points.at(-1)!.sizes[axis]})`,
  );
  const slower = cliffs(axes);
  const found =
    slower.length === 0
      ? 'no size is done at less than three quarters of the speed of the one before, by the fastest of four samples'
      : `done at less than three quarters of the speed of the size before are ${slower.join(', ')}`;
  return (
    `**How the cost grows**: transformer blocks with 64-wide heads over ${ranges.join(', ')}, forward and with all gradients (\`bench --scaling\`): ${found}. ` +
    'Small work is bound by its launches.'
  );
}

function startText({ first, later }: StartUp): string {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
  const stages = Object.entries(later.stages).map(([stage, ms]) => `${stage} ${seconds(ms)}`);
  return (
    `A whole \`read\` of one image takes ${seconds(later.firstTextMs)} from the start of its process to the first text (${stages.join(', ')}), and ` +
    `${seconds(first.firstTextMs)} where the driver has no compiled kernels in its cache yet.`
  );
}
