/** Runs in the report's page, not in Node: draws its charts with uPlot, which the page holds as a global. */
import type uPlotModule from 'uplot';
import type { Chart } from './report_charts.js';

declare const uPlot: typeof uPlotModule;

const height = 260;
const charts = JSON.parse(document.getElementById('charts')!.textContent) as Chart[];
const logarithmic = new Set<Chart>();
let drawn: uPlotModule[] = [];

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function short(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return Number(value.toPrecision(4)).toExponential();
  return value.toLocaleString('en', { maximumSignificantDigits: 4 });
}

/** The space between least and most, behind the curves. */
function drawSpreads(plot: uPlotModule, { series, steps }: Chart): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.globalAlpha = 0.18;
  for (const [index, { least, most }] of series.entries()) {
    if (!least || !most) continue;
    const shown = steps.map((_, at) => at).filter((at) => least[at] !== null && most[at] !== null);
    const place = (at: number, values: readonly (number | null)[]): [number, number] => [
      plot.valToPos(steps[at]!, 'x', true),
      plot.valToPos(values[at]!, 'y', true),
    ];
    ctx.fillStyle = colour(`--curve-${index % 8}`);
    ctx.beginPath();
    for (const at of shown) ctx.lineTo(...place(at, most));
    for (const at of shown.reverse()) ctx.lineTo(...place(at, least));
    ctx.fill();
  }
  ctx.restore();
}

function draw(chart: Chart, host: HTMLElement): uPlotModule {
  const axis = {
    stroke: colour('--muted'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1 },
    font: '12px system-ui, sans-serif',
  };
  const isLogarithmic = logarithmic.has(chart);
  const single = chart.steps.length === 1;
  return new uPlot(
    {
      width: host.clientWidth,
      height,
      cursor: { sync: { key: 'steps' }, points: { size: 7 } },
      scales: {
        x: { time: false, ...(single && { range: [chart.steps[0]! - 1, chart.steps[0]! + 1] }) },
        y: { distr: isLogarithmic ? 3 : 1 },
      },
      axes: [
        {
          ...axis,
          size: 34,
          values: (_, values) =>
            values.map((value) => (Number.isInteger(value) ? value.toLocaleString('en') : '')),
        },
        {
          ...axis,
          size: 66,
          values: (_, values) => values.map((value) => (value === null ? '' : short(value))),
        },
      ],
      series: [
        { label: 'step', value: (_, value) => (value === null ? '–' : value.toLocaleString('en')) },
        ...chart.series.map(({ label }, index) => ({
          label,
          stroke: colour(`--curve-${index % 8}`),
          width: 1.75,
          points: { fill: colour('--card') },
          value: (_: uPlotModule, value: number | null) =>
            value === null ? '–' : `${short(value)}${chart.unit}`,
        })),
      ],
      hooks: { drawAxes: [(plot) => drawSpreads(plot, chart)] },
    },
    [
      [...chart.steps],
      ...chart.series.map(({ values }) =>
        values.map((value) => (value !== null && isLogarithmic && value <= 0 ? null : value)),
      ),
    ],
    host,
  );
}

function drawAll(): void {
  for (const plot of drawn) plot.destroy();
  drawn = charts.map((chart, index) => draw(chart, document.getElementById(`chart-${index}`)!));
}

for (const button of document.querySelectorAll<HTMLButtonElement>('button[data-chart]')) {
  const chart = charts[Number(button.dataset['chart'])]!;
  button.addEventListener('click', () => {
    const isOn = !logarithmic.delete(chart);
    if (isOn) logarithmic.add(chart);
    button.setAttribute('aria-pressed', String(isOn));
    drawAll();
  });
}

drawAll();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
addEventListener('resize', () => {
  for (const plot of drawn) plot.setSize({ width: plot.root.parentElement!.clientWidth, height });
});
