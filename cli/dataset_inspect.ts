import type { Command } from 'commander';
import {
  type DataSetReport,
  type ImageStatistics,
  type LabelStatistics,
  type Spread,
  contactSheet,
  imageStatistics,
  keepLabel,
  labelStatistics,
  openDataSets,
} from '../train/data/index.js';
import { writeWholeFile } from '../weights/index.js';
import { droppedTable, reportTable } from './dataset_report.js';
import { EXIT_DONE, printable } from './errors.js';
import { watchForInterruption } from './interruption.js';
import { htmlFile, wholeNumber } from './options.js';
import { formatBytes, formatTable, print, tell } from './output.js';
import { checkOutputFile } from './output_paths.js';
import { showProgress } from './progress.js';
import { tellFault } from './reading_run.js';

interface InspectCommandOptions {
  readonly images: number;
  readonly html?: string;
  readonly json?: true;
  readonly quiet?: true;
}

/** Counts in a line of the overview. */
const A_LINE = 12;

const examples = `
Examples:
  clip4str-engine dataset inspect train/                       all data sets below a folder
  clip4str-engine dataset inspect photos/gt.txt --html sheet.html
  clip4str-engine dataset inspect val/ --json --images 100000  decode more images`;

/** Adds `dataset inspect`. */
export function addDatasetInspect(dataset: Command): void {
  dataset
    .command('inspect')
    .summary('show what data sets hold')
    .description(
      'Show what data sets hold: samples, lengths and characters of labels, sizes of images, faults.',
    )
    .argument('<inputs...>', 'data sets: folders or lists')
    .option(
      '--images <count>',
      'images that are decoded to be measured, evenly spread',
      wholeNumber(0, 1_000_000_000),
      10_000,
    )
    .option('--html <file>', 'write a page that shows some of the images with their labels', htmlFile)
    .option('--json', 'as JSON')
    .option('--quiet', 'no progress, no notes')
    .addHelpText('after', examples)
    .action(async (inputs: string[], options: InspectCommandOptions) => {
      await inspect(inputs, options, watchForInterruption());
      process.exitCode = EXIT_DONE;
    });
}

async function inspect(
  roots: readonly string[],
  options: InspectCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  if (options.html !== undefined) await checkOutputFile('--html', options.html);
  const set = await openDataSets(roots, { filter: keepLabel, signal });
  const progress = showProgress('Decoding', 'images', !options.quiet);
  try {
    const labels = labelStatistics(set);
    const images = await imageStatistics(set, options.images, {
      signal,
      onProgress: (done, total) => progress.update(done, total),
    });
    progress.stop();
    if (options.html !== undefined) {
      const sheet = await contactSheet(set, signal);
      await writeWholeFile(options.html, (file) => file.writeFile(sheet));
      if (!options.quiet) tell(`${printable(options.html)} shows images and labels.`);
    }
    for (const { source, reason } of options.json ? [] : images.unreadable)
      tellFault({ name: source, reason });
    const found = { samples: set.length, sets: set.reports, labels, images };
    await print(options.json ? `${JSON.stringify(found, null, 2)}\n` : inspectionText(found));
  } finally {
    progress.stop();
    await set.close();
  }
}

function inspectionText({
  samples,
  sets,
  labels,
  images,
}: {
  samples: number;
  sets: readonly DataSetReport[];
  labels: LabelStatistics;
  images: ImageStatistics;
}): string {
  return [
    reportTable(sets) + droppedTable(sets),
    labelText(samples, labels),
    imageText(samples, images),
  ].join('\n');
}

function labelText(samples: number, { lengths, characters, fitting }: LabelStatistics): string {
  const percent = (count: number): string => `${((100 * count) / Math.max(samples, 1)).toFixed(1)} %`;
  const charsets = Object.entries(fitting).map(([charset, count]) => [
    `  in ${charset} characters`,
    percent(count),
  ]);
  const lengthRows = lengths.map(({ length, count }) => `${length}: ${count}`);
  const characterRows = characters.map(({ character, count }) => `${visible(character)} ${count}`);
  return (
    `labels\n${formatTable(charsets, [1])}` +
    `characters in a label: labels\n${inColumns(lengthRows)}` +
    `characters (${characters.length})\n${inColumns(characterRows)}`
  );
}

/** Characters that would not be seen standing alone are named by number. */
function visible(character: string): string {
  if (/^[^\p{C}\p{Z}\p{M}]$/u.test(character)) return character;
  return `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;
}

function imageText(samples: number, { examined, unreadable, width, height, bytes }: ImageStatistics): string {
  if (!width || !height || !bytes) return `images\n  none of ${examined} decoded\n`;
  const row = (name: string, { least, median, most }: Spread, show: (value: number) => string): string[] => [
    `  ${name}`,
    show(least),
    show(median),
    show(most),
  ];
  const rows = [
    [`  of ${examined}`, 'least', 'median', 'most'],
    row('width', width, String),
    row('height', height, String),
    row('bytes', bytes, formatBytes),
  ];
  const part = examined < samples ? ` (${examined} of ${samples} decoded, evenly spread)` : '';
  const faults = unreadable.length === 0 ? '' : `  ${unreadable.length} cannot be decoded\n`;
  return `images${part}\n${formatTable(rows, [1, 2, 3])}${faults}`;
}

function inColumns(cells: readonly string[]): string {
  const rows: string[][] = [];
  for (let start = 0; start < cells.length; start += A_LINE) {
    rows.push(cells.slice(start, start + A_LINE).map((cell, at) => (at === 0 ? `  ${cell}` : cell)));
  }
  return formatTable(rows);
}
