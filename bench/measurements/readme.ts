/** The tables of measurements in the README. */
import type { StartUp } from '../model/start_up.js';
import { groupTable, groupsText, rowsOf, shortTable } from './kernel_tables.js';
import { digits, markdownTable, megabytes } from './markdown.js';
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
  const { readingTiny, readingBase, encoder, tiny, trainingSpeed, scaling } = stored;
  const start = startOf(readingTiny);
  const cliff = cliffs(scaling.axes);
  return [
    '**Reading** with the shipped model, a word of four letters, images in memory to texts (`bench --model`):',
    markdownTable(
      ['images at once', 'ms an image', 'images a second', 'device memory'],
      readingTiny.readings.map((own) => [
        String(own.batchSize),
        digits(own.medianMs / own.batchSize),
        digits(own.imagesPerSecond),
        megabytes(own.peakBytes),
      ]),
    ),
    ...(start ? [startText(start)] : []),
    "**CLIP's B/16 image encoder** as a whole beside ONNX Runtime, the same weights, in turns: how many times as long as this engine they take " +
      '(`bench --model --untrained base --peers`).',
    encoderTable(readingBase),
    'Kernel by kernel, for one image in f32 (`bench --kernels --peers`). ONNX Runtime Web, TensorFlow.js and jax-js compute on the same WebGPU adapter; ONNX ' +
      'Runtime on the CPU does without WebGPU between.',
    shortTable(encoder.f32, /^image encoder, /),
    `**Kernels of the shipped model**, 8 images. ${groupsText} Reading:`,
    groupTable(rowsOf(tiny, 'reading')),
    'A training step:',
    groupTable(rowsOf(tiny, 'training')),
    '**A training step** of both branches, six permutations, rendered words, data and optimizer included (`bench --training <preset>`):',
    trainingTable([trainingSpeed]),
    `**How the cost grows**: transformer blocks over batch, tokens, width and depth, forward and with all gradients (\`bench --scaling\`): ${
      cliff.length === 0
        ? 'no size is done at less than three quarters of the speed of the one before.'
        : `done at less than three quarters of the speed of the size before are ${cliff.join(', ')}.`
    }`,
    '**Memory**: one image read by CLIP4STR-L (`bench --model --untrained large`).',
    memoryTable(stored.readingLarge),
  ].join('\n\n');
}

function startText({ first, later }: StartUp): string {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const stages = Object.entries(later.stages).map(([stage, ms]) => `${stage} ${seconds(ms)}`);
  return (
    `A whole \`read\` of one image takes ${seconds(later.firstTextMs)} from the start of its process to the first text (${stages.join(', ')}), and ` +
    `${seconds(first.firstTextMs)} where the driver has no compiled kernels in its cache yet.`
  );
}
