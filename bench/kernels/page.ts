import { escapeHtml } from '../../train/html.js';
import { type KernelReport, bestOwn, rowTitle } from './report.js';
import { roofline } from './roofline.js';
import { ownName } from './run.js';
import { milliseconds, peerSummary, ratioText, shareOfPeak, summaryHead } from './table.js';

const styles = `
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: 2px 8px; border-bottom: 1px solid #d0d7de; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.bar { width: 26%; } td.bar div { height: 11px; background: #0969da; } tr.peer td.bar div { background: #cf222e; }
tr.peer td, tr.unable td { color: #57606a; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: #57606a; }
svg .grid { stroke: #d0d7de; } svg .roof { fill: none; stroke: #1f2328; stroke-width: 1.5; }
svg .own { fill: #0969da; fill-opacity: 0.7; } svg .peer { fill: #cf222e; fill-opacity: 0.6; }
`;

/** A report as one HTML page that needs nothing but itself: roofline, ratios to peers, and every row with its bar. */
export function kernelPage(report: KernelReport): string {
  const { machine, date, peaks, clock, peers } = report;
  const title = `Kernels on ${machine.adapter}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>${styles}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(
    `${date.slice(0, 10)}; driver ${machine.driver}; ${machine.cpu}; clip4str-engine ${machine.version}, ` +
      `webgpu ${machine.webgpu}, Node ${machine.node}. Times by the clock of the ${clock}.`,
  )}</p>
<p>Measured in this run: ${(peaks.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s of f32 multiply-adds,
${(peaks.bytesPerSecond / 1e9).toFixed(1)} GB/s of a large copy, read and written.</p>
<h2>Roofline</h2>
<p>Blue: this engine's fastest variant.${peers.length > 0 ? ' Red: the fastest peer on WebGPU.' : ''} The line is what the device reaches at most.</p>
${roofline(report)}
${peers.length > 0 ? peerTable(report) : ''}
<h2>Rows</h2>
<p>The bar is the share of the peak that the work is nearer to; f16 by matrix units may pass it.</p>
${rowTable(report)}
</body>
</html>
`;
}

function peerTable(report: KernelReport): string {
  const names = report.peers.map(({ name, version, computesOn }) => `${name} ${version} (${computesOn})`);
  const missing = report.missing.map(({ name, reason }) => `${name} takes no part: ${reason}. `).join('');
  const line = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  const lines = [line(summaryHead(report), 'th'), ...peerSummary(report).map((cells) => line(cells, 'td'))];
  return `<h2>Against peers</h2>
<p>Their time over ours: of the fastest on WebGPU the least and the middle of all rows, of each the middle.
${escapeHtml(names.join(', '))}. ${escapeHtml(missing)}A peer whose results are wrong does not count.</p>
<table>${lines.join('\n')}</table>`;
}

function rowTable({ rows }: KernelReport): string {
  const lines = rows.flatMap((row) => {
    const own = bestOwn(row);
    const title = escapeHtml(rowTitle(row));
    const done = row.times.map((times) => {
      const share = shareOfPeak(times, row.flops);
      const by = times.runner === ownName ? times.variant : `${times.runner} ${times.variant}`;
      const bar = `<td class="bar"><div style="width:${Math.min(100, 100 * share).toFixed(1)}%"></div></td>`;
      const numbers = [
        milliseconds(times.medianMs),
        `${(100 * share).toFixed(0)} %`,
        times.error.toExponential(0),
        ratioText(times, own, row),
      ];
      return (
        `<tr${times.runner === ownName ? '' : ' class="peer"'}><td>${title}</td><td>${escapeHtml(by)}</td>` +
        `${numbers.map((cell) => `<td class="number">${cell}</td>`).join('')}${bar}</tr>`
      );
    });
    const unable = row.unable.map(
      ({ runner, reason }) =>
        `<tr class="unable"><td>${title}</td><td colspan="6">${escapeHtml(`${runner}: ${reason}`)}</td></tr>`,
    );
    return [...done, ...unable];
  });
  const head = ['work', 'by', 'ms', 'of peak', 'error', 'to our fastest', ''];
  return `<table><tr>${head.map((cell) => `<th>${cell}</th>`).join('')}</tr>\n${lines.join('\n')}</table>`;
}
