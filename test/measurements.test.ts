/** The page of measurements and the tables of the README: they are what is stored, and nothing else. */
import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { type PlannedRow, planRows } from '../bench/kernels/plan.js';
import type { KernelReport } from '../bench/kernels/report.js';
import type { ModelName } from '../bench/kernels/shapes.js';
import { closeText, groupTable, rowTable } from '../bench/measurements/kernel_tables.js';
import { markdownTable, source } from '../bench/measurements/markdown.js';
import { cliffs } from '../bench/measurements/model_tables.js';
import { type Measurement, onGpu, onSoftware } from '../bench/measurements/commands.js';
import { benchReport, measureAll } from '../bench/measurements/measure_all.js';
import { measurementsPage } from '../bench/measurements/page.js';
import { readmeTables, withTables } from '../bench/measurements/readme.js';
import { readStored } from '../bench/measurements/stored.js';
import { runCommand } from './support/command.js';
import { useDevice } from './support/device.js';
import { withFolder } from './support/weights_files.js';

const device = useDevice({ device: 'software' });
const root = new URL('../../', import.meta.url);
const text = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const stored = readStored(fileURLToPath(new URL('bench/results', root)));

describe('what is written down is what was measured:', () => {
  test('docs/measurements.md', () => {
    expect(text('docs/measurements.md')).toBe(measurementsPage(stored));
  });

  test('the tables of the README', () => {
    const readme = text('README.md');
    expect(readme).toBe(withTables(readme, readmeTables(stored)));
  });
});

test('a README without one place for tables is refused', () => {
  const [start, end] = [
    '<!-- made by node dist/bench/measurements/write.js -->',
    '<!-- end of what is made -->',
  ];
  expect(withTables(`a ${start} old ${end} b`, 'new')).toBe(`a ${start}\n\nnew\n\n${end} b`);
  for (const readme of [
    '# Title',
    start,
    `${start} ${end} ${end}`,
    `${start} ${start} ${end}`,
    `${end} ${start}`,
  ]) {
    expect(() => withTables(readme, '')).toThrow(/^README.md: expected "<!-- made by .*once each\.$/);
  }
});

test('tables of Markdown', () => {
  expect(markdownTable(['a', 'b'], [['1|2', '3']])).toBe('| a | b |\n| --- | ---: |\n| 1\\|2 | 3 |');
  const { machine } = stored.readingTiny;
  const elsewhere = { ...machine, adapter: 'a GPU' };
  const reports = [
    { date: '2026-01-02T03:04', machine },
    { date: '2026-01-02T09:09', machine: elsewhere },
  ];
  const measured = { file: 'x.json', commands: [['--scaling'], ['--filter', 'two words']] } as const;
  expect(source(measured, reports, machine)).toMatch(
    /^`bench --scaling`, `bench --filter "two words"`; `bench\/results\/x.json`; 2026-01-02; a GPU, driver .*\.$/,
  );
});

type Times = readonly [ms: number, error: number];

/** Rows of softmax: so many milliseconds by us, and by peers with their errors. */
function reportOf(
  ...rows: readonly (readonly [own: number, peers: Readonly<Record<string, Times>>])[]
): KernelReport {
  const times = (runner: string, variant: string, ms: number, error: number) => ({
    ...{
      runner,
      variant,
      medianMs: ms,
      fastestMs: ms,
      hostMs: ms,
      spread: 0,
      samples: 1,
      clock: 'host' as const,
    },
    ...{ flopsPerSecond: 0, bytesPerSecond: 1e9, shareOfPeakFlops: 0, shareOfPeakBytes: 0.5, error },
  });
  return {
    kind: 'kernels',
    date: '2026-01-02',
    machine: stored.readingTiny.machine,
    peers: ['a', 'b', 'c'].map((name) => ({
      name,
      version: '1',
      computesOn: name === 'c' ? 'cpu' : 'webgpu',
    })),
    missing: [],
    clock: 'host',
    peaks: { flopsPerSecond: 1, bytesPerSecond: 1 },
    rows: rows.map(([own, peers], row) => ({
      ...{
        work: { kernel: 'softmax', rows: row + 2, width: 3 },
        stage: 'training',
        purpose: 'one',
        occurrences: 4,
      },
      ...{ model: 'tiny', batch: 8, dtype: 'f32', flops: 0, bytes: 1 },
      unable: [{ runner: 'b', reason: 'no softmax' }],
      choice: { key: 'softmax', expected: 'usual' },
      times: [
        times('clip4str-engine', 'tuned', own / 2, 0),
        times('clip4str-engine', 'usual', own, 0),
        ...Object.entries(peers).map(([name, [ms, error]]) => times(name, '1; x + 0', ms, error)),
      ],
    })),
  };
}

describe('ratios', () => {
  const report = reportOf(
    [2, { a: [3, 0.05], b: [8, 0], c: [1, 0] }],
    [2, { a: [2.5, 0] }],
    [1, { a: [9, 0], b: [3, 0] }],
    [4, {}],
  );

  test('are to the variant that is taken untuned, with what was done otherwise', () => {
    expect(rowTable(report).split('\n').slice(2, 4)).toEqual([
      '| one | softmax 2x3 | 4 | 2.00 |  | 50 % | 0 | 1.50x (off by 5 %; x + 0) | 4.00x (x + 0) | 0.500x (x + 0) |',
      '| one | softmax 3x3 | 4 | 2.00 |  | 50 % | 0 | 1.25x (x + 0) | no softmax |  |',
    ]);
  });

  test('of a kind are the least, middle and largest of right results, weighted by nothing', () => {
    const uses = report.rows.map((row, i) => ({ ...row, occurrences: i + 1 }));
    expect(groupTable(report, uses).split('\n').at(-1)).toBe(
      '| softmax | 4 | 100.0 % | 1.25x | 3.00x | 4.00x |',
    );
    expect(
      groupTable(reportOf([2, {}]), uses.slice(0, 1))
        .split('\n')
        .at(-1),
    ).toBe('| softmax | 1 | 100.0 % |  |  |  |');
    const other = { ...uses[0]!, work: { kernel: 'softmax', rows: 99, width: 3 } } as const;
    expect(() => groupTable(report, [...uses, other])).toThrow('one, 99x3: was not measured');
    expect(closeText(report, uses, 'it')).toBe(
      'Less than 1.5 times as fast as the fastest peer in it: softmax (1 of 3 rows); these kinds take 100.0 % of its time.',
    );
  });
});

/** The rows that `bench --kernels` would measure. */
function rowsOf(command: readonly string[]): PlannedRow[] {
  const given = (option: string): string => command[command.indexOf(option) + 1]!;
  const batches = command.includes('--batches') ? given('--batches') : '8';
  return planRows({
    models: given('--models').split(',') as ModelName[],
    batches: batches.split(',').map(Number),
    dtypes: ['f32', 'f16', 'int8'],
    filter: given('--filter'),
    traits: device().traits,
  });
}

describe('measuring again', () => {
  test('stores what each command printed, of several a list, and leaves alone what fails', async () => {
    await withFolder(async (folder) => {
      const told: string[] = [];
      await writeFile(join(folder, 'failing.json'), 'as it was');
      const measurements = [
        { file: 'one.json', commands: [['--a']] },
        { file: 'failing.json', commands: [['--a'], ['--fails']] },
        { file: 'two.json', commands: [['--b'], ['--c']] },
      ] as const;
      const report = async (command: readonly string[]): Promise<unknown> => {
        if (command[0] === '--fails') throw new Error('no device');
        return { command };
      };
      expect(await measureAll(measurements, folder, report, (line) => told.push(line))).toBe(false);
      const stored = async (name: string): Promise<string> => readFile(join(folder, name), 'utf8');
      expect(JSON.parse(await stored('one.json'))).toEqual({ command: ['--a'] });
      expect(JSON.parse(await stored('two.json'))).toEqual([{ command: ['--b'] }, { command: ['--c'] }]);
      expect(await stored('failing.json')).toBe('as it was');
      expect(told).toEqual(['one.json: 0 s', 'failing.json: no device', 'two.json: 0 s']);
      expect(await measureAll(measurements.slice(0, 1), folder, report, () => {})).toBe(true);
    });
  });

  test('runs the command line, and tells why it failed', async () => {
    const square = ['--kernels', '--models', 'square', '--filter', 'no row has this'];
    await expect(benchReport([...square, '--device', 'software'])).rejects.toThrow(
      /^bench --kernels .*ended with exit code/,
    );
  });

  test('is of commands that there are, and each file once', async () => {
    for (const measurements of [Object.values<Measurement>(onSoftware), onGpu]) {
      const files = measurements.map(({ file }) => file);
      expect(new Set(files).size).toBe(files.length);
      for (const command of measurements.flatMap(({ commands }) => commands)) {
        if (command.includes('--kernels')) expect(rowsOf(command)).not.toHaveLength(0);
        // Options are understood before a device is looked for, or a Python.
        const { errors } = await runCommand(['bench', ...command, '--device', 'no such device']);
        expect(errors.join('\n')).toMatch(/error: (no adapter matches "no such device"|--torch: .*python)/);
      }
    }
  });
});

test('sizes where speed falls are told', () => {
  const [axis] = stored.scaling.axes;
  const [first, second] = axis!.points;
  const slow = { ...second!.times.forward, flopsPerSecond: 0.7 * first!.times.forward.flopsPerSecond };
  const points = [first!, { ...second!, times: { ...first!.times, forward: slow } }];
  expect(cliffs([{ ...axis!, points }])).toEqual([`${axis!.axis} ${second!.sizes[axis!.axis]} (forward)`]);
});
