import { escapeHtml } from '../../train/html.js';
import { type KernelReport, bestOwn, bestPeer, rowTitle, webgpuPeers } from './report.js';
import type { KernelTimes } from './run.js';

const [width, height, margin] = [860, 440, 56];

/** A power of ten at or below, and at or above. */
const floor10 = (value: number): number => Math.floor(Math.log10(value));
const ceil10 = (value: number): number => Math.ceil(Math.log10(value));

/**
 * The rows with matrix products as an SVG: operations a second over operations a byte, both on logarithmic axes, under
 * the two peaks of the device. Each dot tells its row when it is pointed at.
 */
export function roofline(report: KernelReport): string {
  const { rows, peaks } = report;
  const names = webgpuPeers(report);
  const points = rows.flatMap((row) => {
    if (row.flops === 0) return [];
    const intensity = row.flops / row.bytes;
    return [bestOwn(row), bestPeer(row, names)].flatMap((times, peer) =>
      times ? [{ intensity, times, peer: peer === 1, title: rowTitle(row) }] : [],
    );
  });
  if (points.length === 0) return '<p>No row of this report does matrix products.</p>';
  const ridge = peaks.flopsPerSecond / peaks.bytesPerSecond;
  const intensities = [...points.map(({ intensity }) => intensity), ridge];
  const speeds = [...points.map(({ times }) => times.flopsPerSecond), peaks.flopsPerSecond];
  const [left, right] = [floor10(Math.min(...intensities)), ceil10(Math.max(...intensities))];
  const [bottom, top] = [floor10(Math.min(...speeds)), ceil10(Math.max(...speeds) * 1.01)];
  const x = (intensity: number): number =>
    margin + ((Math.log10(intensity) - left) / (right - left)) * (width - 2 * margin);
  const y = (speed: number): number =>
    height - margin - ((Math.log10(speed) - bottom) / (top - bottom)) * (height - 2 * margin);
  const decades = (from: number, to: number): number[] =>
    Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
  const roofFrom = Math.max(10 ** left, 10 ** bottom / peaks.bytesPerSecond);
  const roof = [
    [roofFrom, peaks.bytesPerSecond * roofFrom],
    [ridge, peaks.flopsPerSecond],
    [10 ** right, peaks.flopsPerSecond],
  ].map(([intensity, speed]) => `${x(intensity!).toFixed(1)},${y(speed!).toFixed(1)}`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="Roofline">`,
    ...decades(left, right).map(
      (value) =>
        `<line class="grid" x1="${x(value)}" x2="${x(value)}" y1="${margin}" y2="${height - margin}"/>` +
        `<text x="${x(value)}" y="${height - margin + 18}" text-anchor="middle">${value}</text>`,
    ),
    ...decades(bottom, top).map(
      (value) =>
        `<line class="grid" x1="${margin}" x2="${width - margin}" y1="${y(value)}" y2="${y(value)}"/>` +
        `<text x="${margin - 6}" y="${y(value) + 4}" text-anchor="end">${value / 1e9}</text>`,
    ),
    `<polyline class="roof" points="${roof.join(' ')}"/>`,
    ...points.map(
      ({ intensity, times, peer, title }) =>
        `<circle class="${peer ? 'peer' : 'own'}" cx="${x(intensity).toFixed(1)}" ` +
        `cy="${y(times.flopsPerSecond).toFixed(1)}" r="4"><title>${escapeHtml(dotTitle(title, times))}</title></circle>`,
    ),
    `<text x="${width / 2}" y="${height - 12}" text-anchor="middle">operations a byte</text>`,
    `<text x="14" y="${height / 2}" text-anchor="middle" transform="rotate(-90 14 ${height / 2})">GFLOP/s</text>`,
    '</svg>',
  ].join('\n');
}

function dotTitle(title: string, { runner, variant, flopsPerSecond, shareOfPeakFlops }: KernelTimes): string {
  const speed = `${(flopsPerSecond / 1e9).toFixed(1)} GFLOP/s, ${(100 * shareOfPeakFlops).toFixed(0)} % of the peak`;
  return `${title}: ${runner} ${variant}, ${speed}`;
}
