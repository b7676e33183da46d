import { describe, expect, test } from '@jest/globals';
import { describeError, printable } from '../cli/errors.js';
import { type FormatName, type Row, formats } from '../cli/formats.js';
import { formatBytes, formatTable } from '../cli/output.js';

const row: Row = {
  file: 'a, "b".png',
  text: 'say "hi"',
  confidence: 0.5,
  characters: [{ char: ',', probability: 0.25 }],
  endProbability: null,
  visualText: 'line\nbreak',
  milliseconds: 1.5,
};
const plain: Row = { ...row, file: 'b.png', text: 'Chicken', endProbability: 1, visualText: null };

function written(name: FormatName, rows: readonly Row[]): string {
  const format = formats[name];
  return format.head + rows.map((each, index) => format.row(each, index)).join('') + format.tail(rows.length);
}

/** Reads RFC 4180 independently of the writer. */
function parseCsv(text: string): string[][] {
  const records: string[][] = [[]];
  const field = /("(?:[^"]|"")*"|[^",\r\n]*)(,|\r\n)/gy;
  for (let match = field.exec(text); match; match = field.exec(text)) {
    const [, value, separator] = match as unknown as [string, string, string];
    records.at(-1)!.push(value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value);
    if (separator === '\r\n') records.push([]);
  }
  expect(records.pop()).toEqual([]);
  return records;
}

describe('formats', () => {
  test('text is one line an image, whatever the name', () => {
    expect(written('text', [plain, { ...plain, file: 'x\n\u001b[2Jy' }])).toBe(
      'b.png: Chicken\nx\\n\\u001b[2Jy: Chicken\n',
    );
  });

  test.each([[[]], [[row]], [[row, plain]]] as Row[][][])('json is an array of the rows', (rows) => {
    expect(JSON.parse(written('json', rows))).toEqual(rows);
  });

  test('jsonl is one object a line', () => {
    const lines = written('jsonl', [row, plain]).split('\n');
    expect(lines.pop()).toBe('');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([row, plain]);
  });

  test('csv survives commas, quotes, line breaks and nothing at all', () => {
    const [head, first, second] = parseCsv(written('csv', [row, plain]));
    expect(head).toEqual([
      'file',
      'text',
      'confidence',
      'characters',
      'endProbability',
      'visualText',
      'milliseconds',
    ]);
    expect(first).toEqual([
      'a, "b".png',
      'say "hi"',
      '0.5',
      '[{"char":",","probability":0.25}]',
      '',
      'line\nbreak',
      '1.5',
    ]);
    expect(second![1]).toBe('Chicken');
    expect(parseCsv(written('csv', []))).toEqual([head]);
  });
});

describe('messages', () => {
  test('are one printable line of bounded length', () => {
    expect(describeError(new Error('first\n  second\r\nthird'))).toBe('first second third');
    expect(describeError('\u001b]0;title\u0007')).toBe('\\u001b]0;title\\u0007');
    expect(describeError(new Error(''))).toBe('Error');
    expect(describeError('x'.repeat(10_000)).length).toBeLessThan(5000);
    expect(printable('Grüße 日本 "q" \\')).toBe('Grüße 日本 "q" \\');
    expect(printable('right\u202eleft')).toBe('right\\u202eleft');
  });

  test('bytes and tables', () => {
    expect([0, 999, 1000, 9_857_516, 2.5e9, 7e18].map(formatBytes)).toEqual([
      '0 B',
      '999 B',
      '1.0 kB',
      '9.9 MB',
      '2.5 GB',
      '7000000.0 TB',
    ]);
    expect(
      formatTable(
        [
          ['a', '1', 'x'],
          ['bcd', '234'],
        ],
        [1],
      ),
    ).toBe('a      1  x\nbcd  234\n');
    expect(formatTable([])).toBe('');
    const many = Array.from({ length: 300_000 }, () => ['a', 'b']);
    expect(formatTable(many)).toHaveLength(300_000 * 'a  b\n'.length);
  });
});
