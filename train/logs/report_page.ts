/** The report as one HTML page that needs nothing but itself. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { formatBytes } from '../../weights/format_bytes.js';
import type { SetResult } from '../accuracy.js';
import type { EndEvent, ValidationEvent, ValidationSample } from '../events.js';
import type { TrainingHistory, ValidationResults } from './history.js';
import { escapeHtml } from '../html.js';
import { imageDataUri, scriptJson, scriptText } from './html.js';
import { formatDuration, formatMeasure, formatPercent, formatSpeed } from './quantities.js';
import { type Chart, chartsOf } from './report_charts.js';

export interface ReportContent {
  readonly title: string;
  /** As YAML. */
  readonly configuration: string;
  readonly history: TrainingHistory;
  /** Readings of the last validation, as `sampleReadings` shows them; empty where there was none. */
  readonly sampleReadings: string;
  /** Undefined while the run goes on. */
  readonly end?: EndEvent | undefined;
}

interface Assets {
  readonly styles: string;
  readonly scripts: readonly string[];
}

/** Around the sample readings, so that a page can be read again; in their texts `<` is escaped. */
const samplesPattern = /<!-- sample readings of step (\d+) -->.*<!-- end of sample readings -->/s;

const longestTextCharacters = 300;
const longestSourceCharacters = 28;
/** Larger images would make the page slow to load; words are far smaller. */
const largestImageBytes = 1 << 20;

export async function reportPage(content: ReportContent): Promise<string> {
  const { title, configuration, history } = content;
  const charts = chartsOf(history);
  const { styles, scripts } = await loadAssets();
  const hashes = scripts.map((script) => `'sha256-${createHash('sha256').update(script).digest('base64')}'`);
  const [library, client] = scripts;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src ${hashes.join(' ')}">
<title>${escapeHtml(title)}</title>
<style>${styles}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${status(content)}
${tiles(history)}
<h2>Curves</h2>
${curves(charts)}
<h2>Results</h2>
${results(history)}
${content.sampleReadings}
<h2>Configuration</h2>
<details><summary>All options of this run</summary><pre>${escapeHtml(configuration)}</pre></details>
<script type="application/json" id="charts">${scriptJson(charts)}</script>
<script>${library}</script>
<script type="module">${client}</script>
</body>
</html>
`;
}

/** The library and the page's own code and style, from where they are installed. */
async function loadAssets(): Promise<Assets> {
  const require = createRequire(import.meta.url);
  const own = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
  const [libraryStyles, styles, library, client] = await Promise.all(
    [
      require.resolve('uplot/dist/uPlot.min.css'),
      own('report.css'),
      require.resolve('uplot/dist/uPlot.iife.min.js'),
      own('report_client.js'),
    ].map((path) => readFile(path, 'utf8')),
  );
  return {
    styles: `${libraryStyles}\n${styles}`,
    scripts: [scriptText(library!), scriptText(client!.replace(/^\/\/# sourceMappingURL=.*$/m, ''))],
  };
}

function status({ history: { lastStep }, end }: ReportContent): string {
  const total = lastStep ? ` of ${count(lastStep.totalSteps)}` : '';
  const step = end?.step ?? lastStep?.step ?? 0;
  const words = end
    ? { complete: 'Complete', stopped: 'Stopped', failed: 'Failed' }[end.reason]
    : 'Still training';
  const message = end?.message === undefined ? '' : `<p class="message">${escapeHtml(cut(end.message))}</p>`;
  const date = new Date().toISOString().slice(0, 16).replace('T', ' ');
  return `<div class="muted">${words} · step ${count(step)}${total} · written ${date} UTC</div>${message}`;
}

function tiles(history: TrainingHistory): string {
  const { groups, lastStep, best } = history;
  if (!lastStep) return '';
  const sum = (pick: (group: (typeof groups)[number]) => number): number =>
    groups.reduce((total, group) => total + pick(group), 0);
  const ms = sum(({ trainingMs }) => trainingMs);
  const images = sum((group) => group.images);
  const skipped = sum(({ skippedSteps }) => skippedSteps);
  const peakBytes = groups.reduce((most, group) => Math.max(most, group.peakBytes), 0);
  const shown: [name: string, value: string, note: string][] = [
    ['Loss', formatMeasure(lastStep.loss), 'of the last step'],
    ...(best
      ? [
          [
            'Best accuracy',
            `${best.combined.accuracy.toFixed(2)} %`,
            `at step ${count(best.step)}${branch(best)}`,
          ] satisfies [string, string, string],
        ]
      : []),
    ['Images', count(lastStep.images), `epoch ${count(lastStep.epoch)}`],
    ['Training time', formatDuration(ms), 'without validations'],
    [
      'Images a second',
      formatSpeed((1000 * images) / ms),
      `${formatPercent(sum(({ waitMs }) => waitMs) / ms, 1)} waiting for data`,
    ],
    ['Device memory', formatBytes(peakBytes), 'at most'],
    ...(skipped > 0
      ? [['Steps left out', count(skipped), 'gradient not finite'] satisfies [string, string, string]]
      : []),
  ];
  return `<dl class="tiles">${shown
    .map(([name, value, note]) => `<div><dt>${name}</dt><dd>${value}<small>${note}</small></dd></div>`)
    .join('')}</dl>`;
}

function curves(charts: readonly Chart[]): string {
  if (charts.length === 0) return '<p class="muted">No step was done.</p>';
  const areSpread = charts.some(({ series }) => series.some(({ least }) => least));
  const note = areSpread
    ? 'A point is the mean of several steps; the shade behind shows their least and most. '
    : '';
  const panels = charts.map(
    ({ title, logarithmic }, index) =>
      `<section class="chart"><header><h3>${escapeHtml(title)}</h3>` +
      (logarithmic ? `<button type="button" data-chart="${index}" aria-pressed="false">log</button>` : '') +
      `</header><div id="chart-${index}"></div></section>`,
  );
  return (
    `<p class="muted">${note}Drag over a part to enlarge it, double-click to see all again.</p>` +
    '<noscript><p>The curves are drawn by JavaScript, which is switched off.</p></noscript>' +
    `<div class="charts">${panels.join('')}</div>`
  );
}

function branch({ visualOnly }: ValidationResults): string {
  return visualOnly ? ' by the visual branch' : '';
}

function results({ validations, best }: TrainingHistory): string {
  const last = validations.at(-1);
  if (!last || !best) return '<p class="muted">No validation was done.</p>';
  const row = (result: SetResult, bestResult: SetResult | undefined, isCombined: boolean): string =>
    `<tr${isCombined ? ' class="combined"' : ''}><th scope="row" title="${escapeHtml(cut(result.name))}"><bdi>${escapeHtml(cut(result.name))}</bdi></th>` +
    [
      count(result.samples),
      result.accuracy.toFixed(2),
      result.ned.toFixed(2),
      result.confidence.toFixed(2),
      result.labelLength.toFixed(2),
      bestResult?.accuracy.toFixed(2) ?? '–',
    ]
      .map((cell) => `<td>${cell}</td>`)
      .join('') +
    '</tr>';
  const rows = last.sets.map((set) =>
    row(
      set,
      best.sets.find(({ name }) => name === set.name),
      false,
    ),
  );
  const head = [
    'Set',
    'Samples',
    'Accuracy %',
    '1 - NED %',
    'Confidence %',
    'Mean length',
    `Accuracy % at step ${count(best.step)}${branch(best)}, the best`,
  ];
  const unread = last.unreadable > 0 ? `; unreadable images: ${count(last.unreadable)}` : '';
  return (
    `<p class="muted">Validation at step ${count(last.step)}${branch(last)}${unread}.</p>` +
    '<div class="table"><table class="results"><thead><tr>' +
    head.map((text) => `<th scope="col">${text}</th>`).join('') +
    `</tr></thead><tbody>${rows.join('')}${row(last.combined, best.combined, true)}</tbody></table></div>`
  );
}

/** What a page says of the readings of its last validation. */
export function sampleReadings({ step, samples }: ValidationEvent): string {
  if (samples.length === 0) return '';
  const right = samples.filter(({ text, label }) => text === label).length;
  return (
    `<!-- sample readings of step ${step} -->` +
    `<h2>Sample readings</h2><p class="muted">${right} of ${samples.length} are read right at the last validation.</p>` +
    `<div class="samples">${samples.map(sampleFigure).join('')}</div>` +
    '<!-- end of sample readings -->'
  );
}

/** The same of a page that was written before, unless it is of a later step than the last one that counts. */
export function earlierSampleReadings(page: string, lastStep: number): string {
  const [readings = '', step] = samplesPattern.exec(page) ?? [];
  return Number(step) <= lastStep ? readings : '';
}

function sampleFigure({ source, label, text, confidence, image }: ValidationSample): string {
  const isRight = text === label;
  const uri = image.length > largestImageBytes ? undefined : imageDataUri(image);
  const picture =
    uri === undefined
      ? `<span>no picture: ${image.length > largestImageBytes ? formatBytes(image.length) : 'browsers do not show this type'}</span>`
      : `<img src="${uri}" alt="">`;
  return (
    `<figure class="${isRight ? 'right' : 'wrong'}"><div class="picture">${picture}</div><figcaption>` +
    `<div class="verdict"><b>${isRight ? '✓ right' : '✗ wrong'}</b><span>${formatPercent(confidence, 1)} sure</span></div>` +
    `<dl class="reading"><dt>read</dt><dd class="read" dir="auto">${shownText(text)}</dd>` +
    `<dt>label</dt><dd dir="auto">${shownText(label)}</dd></dl>` +
    `<div class="source" title="${escapeHtml(cut(source))}">${escapeHtml(endOf(source))}</div></figcaption></figure>`
  );
}

function shownText(text: string): string {
  return text === '' ? '<span class="muted">(nothing)</span>' : escapeHtml(cut(text));
}

function cut(text: string): string {
  const characters = Array.from(text);
  if (characters.length <= longestTextCharacters) return text;
  return `${characters.slice(0, longestTextCharacters).join('')}… (${count(characters.length)} characters)`;
}

/** The end of a path says which file it is. */
function endOf(source: string): string {
  const characters = Array.from(source);
  return characters.length <= longestSourceCharacters
    ? source
    : `…${characters.slice(1 - longestSourceCharacters).join('')}`;
}

function count(value: number): string {
  return value.toLocaleString('en');
}
