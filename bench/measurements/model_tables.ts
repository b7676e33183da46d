/** Tables of reading, training and growing sizes. */
import type { ReadingReport, TrainingReport } from '../model/report.js';
import type { StartUp } from '../model/start_up.js';
import { type ScalingAxis, passes } from '../scaling/run.js';
import { isCliff, scalingHead, scalingRows } from '../scaling/table.js';
import { digits, markdownTable, memoryText } from './markdown.js';

export function readingTable({ readings }: ReadingReport): string {
  const head = [
    'images at once',
    'ms an image',
    'fastest to slowest',
    'images a second',
    'host busy',
    'device memory',
    'dispatches',
    'submits',
    'read-backs',
  ];
  return markdownTable(
    head,
    readings.map((own) => [
      String(own.batchSize),
      digits(own.medianMs / own.batchSize),
      `${digits(own.fastestMs / own.batchSize)} to ${digits(own.slowestMs / own.batchSize)}`,
      digits(own.imagesPerSecond),
      `${((100 * own.hostMs) / own.medianMs).toFixed(0)} %`,
      memoryText(own.peakBytes),
      ...[own.dispatches, own.submits, own.readBacks].map(String),
    ]),
  );
}

/** Milliseconds of each stage of a batch, the device waited for after each. */
export function stageTable({ readings }: ReadingReport): string {
  return markdownTable(
    ['stage, ms of the batch', ...readings.map(({ batchSize }) => `${batchSize} at once`)],
    Object.keys(readings[0]!.stages).map((stage) => [
      stage,
      ...readings.map(({ stages }) => digits(stages[stage]!.ms)),
    ]),
  );
}

/** The start-up, where it was measured. */
export function startOf({ startUp }: ReadingReport): StartUp | undefined {
  return 'unable' in startUp ? undefined : startUp;
}

export function startTable({ first, later }: StartUp): string {
  const seconds = (ms: number): string => (ms / 1000).toFixed(2);
  return markdownTable(
    ['seconds', 'driver has compiled nothing yet', 'later'],
    [
      ...Object.keys(later.stages).map((stage) => [
        stage,
        seconds(first.stages[stage]!),
        seconds(later.stages[stage]!),
      ]),
      ['all, to the first text', seconds(first.firstTextMs), seconds(later.firstTextMs)],
    ],
  );
}

/** The image encoder by others: how many times as long they take. */
export function encoderTable({ encoders = [], peers = [] }: ReadingReport): string {
  const names = peers.map(({ name }) => name);
  return markdownTable(
    ['images at once', 'ms', ...names, ...names.map((name) => `features differ from ${name}`)],
    encoders.map(({ batchSize, ownMs, peers: times }) => {
      const cells = names.map((name) => {
        const own = times.find((peer) => peer.name === name);
        return own && 'ratio' in own
          ? [`${digits(own.ratio)}x`, own.difference.toExponential(0)]
          : ['', own?.unable ?? ''];
      });
      return [
        String(batchSize),
        digits(ownMs),
        ...cells.map(([ratio]) => ratio!),
        ...cells.map(([, off]) => off!),
      ];
    }),
  );
}

export function trainingTable(reports: readonly TrainingReport[]): string {
  const head = [
    'preset',
    'parameters',
    'images a step',
    'numbers',
    'seconds a step',
    'fastest to slowest',
    'images a second',
    'device memory',
    'dispatches',
  ];
  const seconds = (ms: number): string => digits(ms / 1000);
  const rows = reports
    .flatMap(({ steps }) => steps)
    .map((own) => [
      own.preset,
      `${digits(own.parameters / 1e6)} million`,
      String(own.batchSize),
      own.settings.includes('trainer.precision=32') ? 'f32' : "the preset's",
      seconds(own.stepMs),
      `${seconds(own.fastestMs)} to ${seconds(own.slowestMs)}`,
      digits(own.imagesPerSecond),
      memoryText(own.peakBytes),
      String(own.dispatches),
    ]);
  return markdownTable(head, rows);
}

export function scalingTable(axis: ScalingAxis): string {
  return markdownTable([axis.axis, ...scalingHead], scalingRows(axis), [0, 1, 2, 3, 4, 5, 6]);
}

/** Sizes that are done much slower than the ones before, as words. */
export function cliffs(axes: readonly ScalingAxis[]): string[] {
  return axes.flatMap(({ axis, points }) =>
    points
      .slice(1)
      .flatMap((point, place) =>
        passes
          .filter((pass) => isCliff(points[place]!, point, pass))
          .map((pass) => `${axis} ${point.sizes[axis]} (${pass})`),
      ),
  );
}

/** What one image takes in each precision. */
export function memoryTable(reports: readonly ReadingReport[]): string {
  return markdownTable(
    ['numbers', 'device memory', 'ms an image'],
    reports.map(({ precision, readings: [own] }) => [
      precision,
      memoryText(own!.peakBytes),
      digits(own!.medianMs),
    ]),
  );
}

/** The sizes that stay along an axis, as words. */
export function othersText({ axis, points }: ScalingAxis): string {
  const others = Object.entries(points[0]!.sizes).filter(([name]) => name !== axis);
  return `Over ${axis} (${others.map(([name, size]) => `${name} ${size}`).join(', ')}):`;
}
