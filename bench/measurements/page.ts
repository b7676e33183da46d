/** The page of all measurements. */
import type { Machine } from '../report/machine.js';
import { readingStepWork, trainingStepWork } from '../kernels/shapes.js';
import { groupTable, groupsText, peersText, rowTable, rowsOf, variantTable } from './kernel_tables.js';
import { onSoftware } from './commands.js';
import { machineText, source } from './markdown.js';
import {
  encoderTable,
  memoryTable,
  othersText,
  readingTable,
  scalingTable,
  stageTable,
  startOf,
  startTable,
  trainingTable,
} from './model_tables.js';
import type { Stored } from './stored.js';

/** All that is stored, table by table. */
export function measurementsPage(stored: Stored): string {
  const { machine } = stored.readingTiny;
  const { encoder, readingTiny, readingBase, tiny, squares, scaling } = stored;
  const from = (
    name: keyof typeof onSoftware,
    ...reports: readonly { date: string; machine: Machine }[]
  ): string => source(onSoftware[name], reports, machine);
  const start = startOf(readingTiny);
  const sections: readonly (readonly [title: string, ...paragraphs: string[]])[] = [
    [
      'Reading: the shipped model',
      from('readingTiny', readingTiny),
      'A word of four letters, images in memory to texts; medians.',
      readingTable(readingTiny),
      'Each stage alone, the device waited for after it:',
      stageTable(readingTiny),
      ...(start
        ? [
            'A whole `read` of one image, from the start of its process to the first text, the first with a cache of the driver that was empty:',
            startTable(start),
          ]
        : []),
    ],
    [
      'Reading: CLIP4STR-B',
      from('readingBase', readingBase),
      'The published sizes with random weights.',
      readingTable(readingBase),
      stageTable(readingBase),
      'Its image encoder by others, with the same weights and images, in turns: how many times as long they take.',
      encoderTable(readingBase),
    ],
    [
      'Memory of reading: CLIP4STR-L',
      from('readingLarge', ...stored.readingLarge),
      'With random weights.',
      memoryTable(stored.readingLarge),
    ],
    ...(
      [
        ['f32', 'encoderF32'],
        ['f16', 'encoderF16'],
        ['int8', 'encoderInt8'],
      ] as const
    ).map(
      ([type, name]) =>
        [
          `Kernels of CLIP4STR-B's encoders, one image, weights in ${type}`,
          from(name, encoder[type]),
          peersText(encoder[type]),
          rowTable(encoder[type]),
        ] as const,
    ),
    [
      'Kernels of the shipped model, 8 images',
      from('tiny', tiny),
      peersText(tiny),
      groupsText,
      'A reading of texts that fill all positions:',
      groupTable(tiny, readingStepWork('tiny', 8)),
      'A training step:',
      groupTable(tiny, trainingStepWork('tiny', 8)),
      'All rows of reading (work that training does as well is among them alone):',
      rowTable(rowsOf(tiny, 'reading')),
      'All rows of training:',
      rowTable(rowsOf(tiny, 'training')),
    ],
    ['A matrix product of 768 cubed', from('squares', squares), variantTable(squares)],
    [
      'Training steps',
      from('trainingSpeed', ...stored.trainingSpeed),
      'Both branches, six permutations, rendered words, data and optimizer included; medians.',
      trainingTable(stored.trainingSpeed),
    ],
    [
      'Memory of training',
      from('trainingMemory', ...stored.trainingMemory),
      trainingTable(stored.trainingMemory),
    ],
    [
      'How the cost grows',
      from('scaling', scaling),
      'Transformer blocks with 64-wide heads, by the fastest of four samples; "training" is forward and all gradients. ' +
        'A `!` marks a size that is done at less than three quarters of the speed of the one before.',
      ...scaling.axes.flatMap((axis) => [othersText(axis), scalingTable(axis)]),
    ],
  ];
  return (
    [
      '# Measurements',
      'Made from the files in `bench/results`, which `node dist/bench/measurements/measure.js` writes, by `node dist/bench/measurements/write.js`; not to be ' +
        'edited by hand. Each part names its commands (`clip4str-engine` before them), its file and the day.',
      `All on ${machineText(machine)}, unless a part says otherwise. It is a virtual machine whose cores are shared, and noisy: times of one day were up to ` +
        "twice those of another. What is compared was measured in turns in one run; a ratio is somebody else's time over that of this engine.",
      ...sections.flatMap(([title, ...paragraphs]) => [`## ${title}`, ...paragraphs]),
      '',
    ]
      .join('\n\n')
      .trimEnd() + '\n'
  );
}
