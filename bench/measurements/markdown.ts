/** Pieces of Markdown. */
import type { Machine } from '../report/machine.js';
import { type Measurement, commandText } from './commands.js';

/** @param right columns set flush right: all but the first unless given */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = head.map((_, column) => column).slice(1),
): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = head.map((_, column) => (right.includes(column) ? '---:' : '---'));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

/** Where some figures come from: the commands, the file, the day and, if it is another than the usual one, the machine. */
export function source(
  { commands, file }: Measurement,
  reports: readonly { readonly date: string; readonly machine: Machine }[],
  usual: Machine,
): string {
  const dates = [...new Set(reports.map(({ date }) => date.slice(0, 10)))].join(', ');
  const others = reports
    .map(({ machine }) => machineText(machine))
    .filter((text) => text !== machineText(usual));
  const typed = commands.map((command) => `\`${commandText(command)}\``).join(', ');
  return [typed, `\`bench/results/${file}\``, dates, ...new Set(others)].join('; ') + '.';
}

export function machineText({ adapter, driver, cpu, node, webgpu }: Machine): string {
  return `${adapter}, driver ${driver}, ${cpu}, Node ${node.replace(/^v/, '')}, webgpu ${webgpu}`;
}

export const memoryText = (bytes: number): string =>
  bytes < 1e9 ? `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;

/** Three digits that count. */
export const digits = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toPrecision(3);
