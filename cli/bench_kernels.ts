/** `bench --kernels`: what every kernel does on this device. */
import type { OpenedPeers, Peer } from '../bench/peers/index.js';
import { openTorch } from '../bench/peers/torch.js';
import { machineOf } from '../bench/report/machine.js';
import { kernelPage } from '../bench/kernels/page.js';
import { planRows } from '../bench/kernels/plan.js';
import { type KernelReport, type OlderTimes, readOlderTimes } from '../bench/kernels/report.js';
import { KernelBench, type KernelRow, ownName } from '../bench/kernels/run.js';
import type { Runner } from '../bench/kernels/runner.js';
import { usualModels } from '../bench/kernels/shapes.js';
import { numberColumns, peerSummary, rowCells, summaryHead, tableHead } from '../bench/kernels/table.js';
import { tunedChoices, tuningOf } from '../bench/kernels/tuning.js';
import type { Device } from '../engine/index.js';
import { precisions } from '../model/index.js';
import { writeWholeFile } from '../weights/index.js';
import { type Measured, measureEach } from './bench_each.js';
import type { BenchOptions } from './bench_options.js';
import { installWanted, openWanted, withPeers } from './bench_peers.js';
import { openWithTorch, pythonOf } from './bench_torch.js';
import { EXIT_DONE, EXIT_NOTHING, type ExitCode, UsageError, printable } from './errors.js';
import { watchForInterruption } from './interruption.js';
import { requirePrecision, unitUse, withDevice } from './options.js';
import { formatTable, print, tell } from './output.js';
import { checkOutputFile } from './output_paths.js';
import { packageVersions } from './package.js';
import { storeTuning, storedTuning } from './tuning.js';

const defaultBatches = [8];

/** Widths of the columns of the table, which is printed row by row. */
const widths = [22, 26, 5, 28, 8, 6, 8, 7, 7, 6, 14];

/** @throws UsageError for options that do not go together, or a filter that nothing fits */
export async function runKernelBench(options: BenchOptions): Promise<ExitCode> {
  const inputs = options.compare === undefined ? [] : [options.compare];
  if (options.html !== undefined) await checkOutputFile('--html', options.html, inputs);
  const older = options.compare === undefined ? undefined : await readOlderTimes(options.compare);
  const signal = watchForInterruption();
  await installWanted(options, signal);
  const { precision } = options;
  return withDevice(options.device, unitUse(precision, 'all'), async (device): Promise<ExitCode> => {
    if (precision) requirePrecision(device, precision);
    const dtypes = precision ? [precision] : precisions.filter((type) => type !== 'f16' || device.traits.f16);
    const planned = planRows({
      models: options.models ?? usualModels,
      batches: options.batches ?? defaultBatches,
      dtypes,
      filter: options.filter ?? '',
      traits: device.traits,
    });
    if (planned.length === 0) {
      throw new UsageError(
        `--filter ${printable(options.filter!)}: no row has all of these words. Try a kernel (matmul), a model (base), ` +
          'a stage (loading, encoding, decoding, refining, training), a type (f16, int8) or sizes (1576x768x2304T).',
      );
    }
    if (older && older.adapter !== device.adapter.name && !options.quiet) {
      tell(`${printable(options.compare!)} was measured on ${printable(older.adapter)}, another adapter.`);
    }
    const { peers, missing } = await openAll(device, options, signal);
    const {
      bench,
      done: rows,
      failure,
    } = await withPeers(peers, async () => {
      const own = await KernelBench.open(device);
      return { bench: own, ...(await measureRows({ bench: own, planned, peers, older, signal }, options)) };
    });
    const report = reportOf(device, bench, { peers, missing }, rows);
    if (options.json) await print(`${JSON.stringify(report, null, 2)}\n`);
    else await print(closingText(report));
    if (options.tune) await keepTuning(device, rows, options.quiet);
    if (options.html !== undefined) {
      const page = kernelPage(report);
      await writeWholeFile(options.html, (file) => file.writeFile(page));
      if (!options.quiet) tell(`${printable(options.html)} shows the results.`);
    }
    if (failure) throw failure;
    return rows.some(({ times }) => times.length > 0) ? EXIT_DONE : EXIT_NOTHING;
  });
}

async function keepTuning(
  device: Device,
  rows: readonly KernelRow[],
  quiet: true | undefined,
): Promise<void> {
  const file = await storeTuning(device, tuningOf(device, await storedTuning(device), rows));
  if (quiet) return;
  const choices = tunedChoices(rows);
  for (const { key, variant, expected, gain } of choices) {
    tell(`${key}: ${variant} instead of ${expected}, ${gain.toFixed(2)}x`);
  }
  const kinds = new Set(rows.flatMap(({ choice }) => (choice ? [choice.key] : []))).size;
  tell(`${choices.length} of ${kinds} kinds of work go another way from now on: ${printable(file)}`);
}

/** Everybody who was asked to do the same work. PyTorch first: where there is none, nothing else is opened in vain. */
async function openAll(device: Device, options: BenchOptions, signal: AbortSignal): Promise<OpenedPeers> {
  const { torch } = options;
  const own: Peer[] =
    torch === undefined ? [] : [await openWithTorch(() => openTorch(pythonOf(torch), { signal }))];
  try {
    const { peers, missing } = await openWanted(device, options, signal);
    return { peers: [...peers, ...own], missing };
  } catch (error) {
    for (const peer of own) await peer.close();
    throw error;
  }
}

interface Run {
  readonly bench: KernelBench;
  readonly planned: ReturnType<typeof planRows>;
  readonly peers: readonly Runner[];
  readonly older: OlderTimes | undefined;
  readonly signal: AbortSignal;
}

/** Rows are printed as they come. */
async function measureRows(
  { bench, planned, peers, older, signal }: Run,
  { json, quiet }: BenchOptions,
): Promise<Measured<KernelRow>> {
  if (!json) await print(line(tableHead));
  let heading = '';
  const show = async (row: KernelRow): Promise<void> => {
    const place = `${row.model}, batch ${row.batch}: ${row.purpose}`;
    if (place !== heading) await print(`${(heading = place)}\n`);
    for (const cells of rowCells(row)) await print(line(cells));
  };
  const options = { counted: 'kernels', signal, quiet, ...(json ? {} : { show }) };
  return measureEach(planned, options, async ({ used, dtype }): Promise<KernelRow> => {
    const measured = await bench.row(used, dtype, peers, signal);
    const olderMs = older?.ms(measured);
    return { ...measured, ...(olderMs === undefined ? {} : { olderMs }) };
  });
}

function line(cells: readonly string[]): string {
  // The reason why somebody could not is longer than a column, and the last.
  const set = cells.map((cell, column) =>
    numberColumns.includes(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
  );
  return `  ${set.join(' ').trimEnd()}\n`;
}

function reportOf(
  device: Device,
  { clock, peaks }: KernelBench,
  { peers, missing }: OpenedPeers,
  rows: readonly KernelRow[],
): KernelReport {
  return {
    kind: 'kernels',
    date: new Date().toISOString(),
    machine: machineOf(device, packageVersions()),
    peers: peers.map(({ name, version, computesOn }) => ({ name, version, computesOn })),
    missing,
    clock,
    peaks,
    rows,
  };
}

function closingText(report: KernelReport): string {
  const { peaks, clock, machine, peers } = report;
  const head =
    `\n${printable(machine.adapter)}: ${(peaks.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s of multiply-adds, ` +
    `${(peaks.bytesPerSecond / 1e9).toFixed(1)} GB/s of a large copy, measured now; times by the clock of the ${clock}\n`;
  if (peers.length === 0) return head;
  const columns = summaryHead(report);
  const table = formatTable([columns, ...peerSummary(report)], columns.map((_, i) => i).slice(2));
  return (
    `${head}\nTimes of peers over those of ${ownName}: of the fastest on WebGPU the least and the middle of all rows, of ` +
    `each peer the middle. One whose results are wrong does not count.\n${table}`
  );
}
