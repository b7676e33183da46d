/** How readings are printed. */
import type { CharacterReading, Reading } from '../model/index.js';
import { printable } from './errors.js';

/** What is printed of one image. */
export interface Row {
  readonly file: string;
  readonly text: string;
  readonly confidence: number;
  readonly characters: readonly CharacterReading[];
  readonly endProbability: number | null;
  readonly visualText: string | null;
  readonly milliseconds: number;
}

/** A way to print rows one by one, so that the first is seen before the last is read. */
export interface RowFormat {
  /** Before the first row. */
  readonly head: string;
  row(row: Row, index: number): string;
  /** After the last of `count` rows. */
  tail(count: number): string;
}

export const formatNames = ['text', 'json', 'jsonl', 'csv'] as const;
export type FormatName = (typeof formatNames)[number];

const columns = [
  'file',
  'text',
  'confidence',
  'characters',
  'endProbability',
  'visualText',
  'milliseconds',
] as const satisfies readonly (keyof Row)[];

export const formats: Readonly<Record<FormatName, RowFormat>> = {
  text: {
    head: '',
    row: ({ file, text }) => `${printable(file)}: ${printable(text)}\n`,
    tail: () => '',
  },
  json: {
    head: '[',
    row: (row, index) => `${index === 0 ? '' : ','}\n  ${JSON.stringify(row)}`,
    tail: (count) => (count === 0 ? ']\n' : '\n]\n'),
  },
  jsonl: {
    head: '',
    row: (row) => `${JSON.stringify(row)}\n`,
    tail: () => '',
  },
  csv: {
    head: csvLine(columns),
    row: (row) => csvLine(columns.map((column) => csvValue(row[column]))),
    tail: () => '',
  },
};

/** The row of a reading, its fields in the order they are printed in. */
export function rowOf(file: string, reading: Reading): Row {
  const { text, confidence, characters, endProbability, visualText, milliseconds } = reading;
  return { file, text, confidence, characters, endProbability, visualText, milliseconds };
}

function csvValue(value: Row[keyof Row]): string {
  if (value === null) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** A record of RFC 4180. */
function csvLine(values: readonly string[]): string {
  const fields = values.map((value) =>
    /[",\r\n]|^\s|\s$/.test(value) ? `"${value.replaceAll('"', '""')}"` : value,
  );
  return `${fields.join(',')}\r\n`;
}
