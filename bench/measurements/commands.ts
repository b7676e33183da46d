/** The commands whose reports are stored in `bench/results`, by file. */

/** The reports of some commands, stored in one file: of several a list, in this order. */
export interface Measurement {
  readonly file: string;
  /** What follows `bench`. */
  readonly commands: readonly [readonly string[], ...(readonly string[])[]];
}

const ofEncoder = (type: string): Measurement => ({
  file: `kernels_base_encoder${type === 'f32' ? '' : `_${type}`}.json`,
  commands: [['--kernels', '--models', 'base', '--batches', '1', '--filter', `encoding ${type}`, '--peers']],
});

const ofLarge = (precision: string): string[] => [
  ...['--model', '--untrained', 'large', '--batches', '1', '--precision', precision],
];

/** On the software adapter, for the page and the README. */
export const onSoftware = {
  readingTiny: { file: 'reading_tiny.json', commands: [['--model']] },
  readingBase: {
    file: 'reading_base.json',
    commands: [['--model', '--untrained', 'base', '--batches', '1,4', '--peers']],
  },
  readingLarge: { file: 'memory_large.json', commands: [ofLarge('f32'), ofLarge('f16'), ofLarge('int8')] },
  encoderF32: ofEncoder('f32'),
  encoderF16: ofEncoder('f16'),
  encoderInt8: ofEncoder('int8'),
  tiny: {
    file: 'kernels_tiny.json',
    commands: [['--kernels', '--models', 'tiny', '--batches', '8', '--filter', 'f32', '--peers']],
  },
  squares: {
    file: 'kernels_square.json',
    commands: [['--kernels', '--models', 'square', '--filter', '768x768x768T f32']],
  },
  trainingSpeed: {
    file: 'training_speed.json',
    commands: [
      ['--training', 'tiny', '--batches', '96', '--precision', 'f32'],
      ['--training', 'base', '--batches', '1', '--precision', 'f32'],
    ],
  },
  trainingMemory: {
    file: 'training_memory_base.json',
    commands: [
      ['--training', 'base', '--batches', '32'],
      ['--training', 'base', '--batches', '8', '--precision', 'f32'],
    ],
  },
  scaling: { file: 'scaling.json', commands: [['--scaling']] },
} as const satisfies Readonly<Record<string, Measurement>>;

const besideTorch = (file: string, ...command: string[]): Measurement => ({
  file,
  commands: [[...command, '--torch']],
});

/** On a GPU, much of it beside PyTorch; what says most comes first. */
export const onGpu: readonly Measurement[] = [
  ...(['f32', 'f16'] as const).flatMap((type) => [
    besideTorch(`kernels_square_${type}.json`, '--kernels', '--models', 'square', '--filter', type),
    besideTorch(
      `reading_base_${type}.json`,
      ...['--model', '--untrained', 'base', '--batches', '1,256', '--precision', type],
    ),
  ]),
  besideTorch('training_base.json', '--training', 'base', '--batches', '32'),
  onSoftware.readingTiny,
  ...(['f16', 'f32'] as const).map((type) =>
    besideTorch(
      `kernels_base_${type}.json`,
      ...['--kernels', '--models', 'base', '--batches', '1,32', '--filter', type],
    ),
  ),
  onSoftware.readingLarge,
  onSoftware.scaling,
];

/** A command as it is typed. */
export function commandText(command: readonly string[]): string {
  return ['bench', ...command.map((word) => (word.includes(' ') ? `"${word}"` : word))].join(' ');
}
