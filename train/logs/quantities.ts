/** Quantities as the progress line and the report write them. */

/** A loss or a norm: four digits, short where it is very large or small. */
export function formatMeasure(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(2) : value.toPrecision(4);
}

/** Learning rates of the groups of parameters, each once: `8.4e-5 1.6e-3`. */
export function formatRates(rates: readonly number[]): string {
  return [...new Set(rates.map((rate) => (rate === 0 ? '0' : rate.toExponential(1))))].join(' ');
}

/** Images a second: `0.52`, `7.1`, `512`. */
export function formatSpeed(perSecond: number): string {
  return perSecond.toFixed(perSecond < 1 ? 2 : perSecond < 100 ? 1 : 0);
}

/** `1 d 4 h`, `2 h 5 min`, `3 min 20 s`, `45 s`. */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (!Number.isFinite(seconds)) return '?';
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const flopsUnits = [
  [1e15, 'PFLOP/s'],
  [1e12, 'TFLOP/s'],
  [1e9, 'GFLOP/s'],
  [1e6, 'MFLOP/s'],
] as const;

export function formatFlops(perSecond: number): string {
  const [size, unit] = flopsUnits.find(([least]) => perSecond >= least) ?? flopsUnits.at(-1)!;
  return `${(perSecond / size).toFixed(1)} ${unit}`;
}

/** @param part from 0 to 1 */
export function formatPercent(part: number, digits = 0): string {
  return `${(100 * part).toFixed(digits)} %`;
}
