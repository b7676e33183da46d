/** Tables of what data sets gave. */
import type { DataSetReport, DroppedSamples } from '../train/data/index.js';
import { printable } from './errors.js';
import { formatTable } from './output.js';

/** Characters of an example that are shown. */
const LONGEST_EXAMPLE = 60;

const count = (number: number): string => number.toLocaleString('en');

/** Records and kept ones of each data set, and of all together. */
export function reportTable(reports: readonly DataSetReport[]): string {
  const rows = reports.map(({ name, kind, records, kept }) => [
    printable(name),
    kind,
    count(records),
    count(kept),
    count(records - kept),
  ]);
  const sum = (of: (report: DataSetReport) => number): number =>
    reports.reduce((total, report) => total + of(report), 0);
  const records = sum((report) => report.records);
  const kept = sum((report) => report.kept);
  if (reports.length > 1) rows.push(['all', '', count(records), count(kept), count(records - kept)]);
  return formatTable([['data set', 'kind', 'records', 'kept', 'dropped'], ...rows], [2, 3, 4]);
}

/** What was dropped for which reason, with an example; empty if nothing was. */
export function droppedTable(reports: readonly DataSetReport[]): string {
  const reasons = new Map<string, DroppedSamples>();
  for (const each of reports.flatMap(({ dropped }) => dropped)) {
    const before = reasons.get(each.reason);
    reasons.set(each.reason, before ? { ...before, count: before.count + each.count } : each);
  }
  if (reasons.size === 0) return '';
  const rows = [...reasons.values()]
    .sort((a, b) => b.count - a.count)
    .map((each) => [count(each.count), printable(each.reason), exampleOf(each)]);
  return `\n${formatTable([['dropped', 'because', 'as'], ...rows], [0])}`;
}

function exampleOf({ example: { source, label } }: DroppedSamples): string {
  if (label === null) return printable(source);
  const shown = label.length <= LONGEST_EXAMPLE ? label : `${label.slice(0, LONGEST_EXAMPLE)}...`;
  return `${printable(source)} ${printable(JSON.stringify(shown))}`;
}
