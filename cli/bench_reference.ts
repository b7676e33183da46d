/** `bench --reference`: how far what is computed lies from what the original PyTorch code computed. */
import {
  type Place,
  ReferenceFile,
  type ReferenceReport,
  type StageReport,
  axesOf,
  compareReference,
} from '../bench/reference/index.js';
import { Clip4Str, type Precision } from '../model/index.js';
import type { BenchOptions } from './bench_options.js';
import { resolveCheckpoint } from './checkpoints.js';
import { EXIT_DONE, EXIT_NOTHING, type ExitCode, printable } from './errors.js';
import { watchForInterruption } from './interruption.js';
import { requirePrecision, unitUse, withDevice } from './options.js';
import { formatTable, print, tell } from './output.js';
import { showProgress } from './progress.js';

/** Largest absolute errors that agree, unless told otherwise: rounding of sums, and of weights to half precision. */
const defaultTolerances: Readonly<Record<Precision, number>> = {
  f32: 1e-4,
  f16: 2e-2,
  int8: 1,
};

/** Texts and images that a list on the terminal names. */
const SHOWN = 20;

/**
 * Compares a model with a reference and prints what was found.
 * @returns `EXIT_NOTHING` where `check` is set and the model does not agree
 */
export async function runReferenceBench(options: BenchOptions): Promise<ExitCode> {
  const { precision = 'f32', quiet } = options;
  const signal = watchForInterruption();
  const file = await ReferenceFile.open(options.reference!);
  try {
    const checkpoint = await resolveCheckpoint(options.checkpoint, quiet);
    return await withDevice(options.device, unitUse(precision, 'forward'), async (device) => {
      requirePrecision(device, precision);
      const reader = await Clip4Str.load(device, checkpoint, { preset: options.preset, precision });
      const progress = showProgress('Comparing', 'images', !quiet);
      try {
        const report = await compareReference(device, reader.model, file, {
          tolerance: options.tolerance ?? defaultTolerances[precision],
          batchSize: options.batchSize,
          signal,
          onProgress: (done) => progress.update(done, file.imageCount),
        });
        progress.stop();
        if (!quiet) for (const line of notesOf(report)) tell(printable(line));
        const subject = {
          checkpoint: reader.checkpointName,
          precision,
          adapter: device.adapter.name,
          backend: device.adapter.backend,
          driver: device.info.description,
        };
        await print(
          options.json
            ? `${JSON.stringify({ ...subject, ...report }, null, 2)}\n`
            : `${printable(`${subject.checkpoint} on ${subject.adapter}, ${precision}`)}\n${reportText(report)}`,
        );
        return options.check && !report.agrees ? EXIT_NOTHING : EXIT_DONE;
      } finally {
        progress.stop();
        reader.dispose();
      }
    });
  } finally {
    await file.close();
  }
}

/** What was not compared, and what was taken for granted. */
function notesOf({ reference, missing, unknown, assumed }: ReferenceReport): string[] {
  const lines = [...assumed];
  if (missing.length > 0) lines.push(`not compared, since it has no tensors of them: ${missing.join(', ')}`);
  if (unknown.length > 0) {
    lines.push(`not compared, since they are no stages of this reading: ${unknown.join(', ')}`);
  }
  return lines.map((line) => `${reference}: ${line}`);
}

function reportText(report: ReferenceReport): string {
  const { decoding, stages, versions } = report;
  const computedBy = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const how = [
    counted(report.images, 'image'),
    decoding.autoregressive ? 'one character after another' : 'all characters at once',
    counted(decoding.refineIterations, 'refinement'),
    decoding.stopping === 'batch' ? `batches of ${decoding.batchSize} stop together` : 'no batch stops early',
  ];
  const rows = stages.map((stage) => [
    `  ${stage.stage}`,
    stage.misfit === undefined ? shownError(stage.largestError) : '-',
    stage.misfit ?? placeText(stage),
  ]);
  const leftOut = stages.filter(({ imagesLeftOut }) => imagesLeftOut > 0);
  return [
    `${printable(report.reference)}: ${how.join(', ')}`,
    ...(computedBy.length > 0 ? [`computed by ${printable(computedBy.join(', '))}`] : []),
    '',
    formatTable([['  stage', 'error', 'where it is largest'], ...rows], [1]).trimEnd(),
    '',
    ...textLines(report),
    ...partedLines(report),
    ...leftOut.map(
      ({ stage, imagesLeftOut }) =>
        `${stage}: ${counted(imagesLeftOut, 'image')} left out, in whole or in part, as what follows from that`,
    ),
    report.agrees
      ? `agrees within ${report.tolerance.toExponential()}`
      : `DOES NOT AGREE within ${report.tolerance.toExponential()}`,
    '',
  ].join('\n');
}

function textLines({ textsCompared, textDifferences }: ReferenceReport): string[] {
  const lines = textDifferences.map(({ branch, expected, actual, position, margin, ...where }) => {
    const texts = [actual, expected].map((text) => (text === null ? 'no text' : JSON.stringify(text)));
    const parted =
      position === null
        ? 'no margin is known'
        : `at position ${position}, where the reference's margin is ${margin!.toExponential(1)}`;
    const by = branch === 'visual' ? ', visual branch' : '';
    return printable(`  ${imageText(where)}${by}: ${texts[0]} here, ${texts[1]} in the reference; ${parted}`);
  });
  return [
    `${textsCompared - textDifferences.length} of ${textsCompared} texts are the same`,
    ...shortened(lines),
  ];
}

function partedLines({ parted }: ReferenceReport): string[] {
  const lines = parted.map(({ stage, position, margin, withinTolerance, ...where }) =>
    printable(
      `  ${imageText(where)}: ${stage}, position ${position}, where the reference's margin is ` +
        `${margin.toExponential(1)}${withinTolerance ? ', within the tolerance' : ''}`,
    ),
  );
  return lines.length === 0 ? [] : ['another class leads than in the reference, first', ...shortened(lines)];
}

function shortened(lines: readonly string[]): string[] {
  const rest = lines.length - SHOWN;
  return rest > 0 ? [...lines.slice(0, SHOWN), `  and ${rest} more (--json has all)`] : [...lines];
}

function placeText({ kind, at, largestError }: StageReport): string {
  if (!at) return 'nothing was compared';
  if (largestError === 0) return 'the same everywhere';
  const axes = axesOf(kind).map((axis, i) => `${axis} ${at.index[i]}`);
  const character = at.character === undefined ? '' : ` ${JSON.stringify(at.character)}`;
  const [actual, expected] = [at.actual, at.expected].map(shownValue);
  return printable(`${imageText(at)}, ${axes.join(', ')}${character}: ${actual} here, ${expected} there`);
}

function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? '' : 's'}`;
}

function imageText({ image, file }: Pick<Place, 'image' | 'file'>): string {
  return file === undefined ? `image ${image}` : `image ${image} (${file})`;
}

function shownValue(value: number | null): string {
  return value === null ? 'not computed' : String(Number(value.toPrecision(7)));
}

function shownError(error: number): string {
  return error === Infinity ? 'no number' : error.toExponential(1);
}
