/** What a run of the kernel benchmark found, as it is stored and compared. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { Machine } from '../report/machine.js';
import { shapeOf } from './plan.js';
import { type KernelRow, type KernelTimes, ownName } from './run.js';
import type { Runner } from './runner.js';
import type { Clock } from './stopwatch.js';
import type { Work } from './work.js';

export interface KernelReport {
  readonly kind: 'kernels';
  readonly date: string;
  readonly machine: Machine;
  readonly peers: readonly Pick<Runner, 'name' | 'version' | 'computesOn'>[];
  /** Peers that were asked for and could not be opened, and why. */
  readonly missing: readonly { readonly name: string; readonly reason: string }[];
  readonly clock: Clock;
  /** Measured in this run: of f32 multiply-adds, and of a copy between large buffers. */
  readonly peaks: { readonly flopsPerSecond: number; readonly bytesPerSecond: number };
  readonly rows: readonly KernelRow[];
}

/** Largest error of a time that counts: beyond it something else was computed. */
const tolerance = { f32: 1e-3, f16: 2e-2, int8: 1e-3 } as const;

/** The fastest of our own variants. */
export function bestOwn(row: Pick<KernelRow, 'times' | 'dtype'>): KernelTimes | undefined {
  return bestPeer(row, [ownName]);
}

/** The fastest of some runners, of those whose results are right. */
export function bestPeer(
  row: Pick<KernelRow, 'times' | 'dtype'>,
  names: readonly string[],
): KernelTimes | undefined {
  return rightTimes(row, names)[0];
}

/** Times of some runners whose results are right, the fastest first. */
export function rightTimes(
  { times, dtype }: Pick<KernelRow, 'times' | 'dtype'>,
  names: readonly string[],
): KernelTimes[] {
  return times
    .filter((own) => names.includes(own.runner) && isRight(own, dtype))
    .toSorted((a, b) => a.medianMs - b.medianMs);
}

/** Whether what took this time are the results that were asked for. */
export function isRight({ error }: KernelTimes, dtype: KernelRow['dtype']): boolean {
  return error <= tolerance[dtype];
}

/** A time over that of our fastest variant, both by the host's clock where somebody else's is meant. */
export function ratioOf(times: KernelTimes, own: KernelTimes): number {
  return times.runner === ownName ? times.medianMs / own.medianMs : times.hostMs / own.hostMs;
}

/** Names of the peers that compute as we do, on WebGPU. */
export function webgpuPeers({ peers }: Pick<KernelReport, 'peers'>): string[] {
  return peers.flatMap(({ name, computesOn }) => (computesOn === 'webgpu' ? [name] : []));
}

/** What must be there of an older report to compare with. */
const olderReport = z.object({
  kind: z.literal('kernels'),
  machine: z.object({ adapter: z.string() }),
  rows: z.array(
    z.object({
      work: z.looseObject({ kernel: z.string() }),
      dtype: z.string(),
      times: z.array(z.object({ runner: z.string(), medianMs: z.number().positive() })),
    }),
  ),
});

/** Our fastest milliseconds of each row of an older report. */
export interface OlderTimes {
  readonly adapter: string;
  /** @returns undefined where that row was not measured */
  ms(row: Pick<KernelRow, 'work' | 'dtype'>): number | undefined;
}

/** @throws Error that names the file, where it is no such report */
export async function readOlderTimes(path: string): Promise<OlderTimes> {
  const text = await readFile(path, 'utf8');
  let stored: unknown;
  try {
    stored = JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is not JSON: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  const parsed = olderReport.safeParse(stored);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(
      `${path}: ${issue!.path.join('.')}: ${issue!.message}. Expected what bench --kernels --json prints.`,
    );
  }
  const times = new Map<string, number>();
  for (const row of parsed.data.rows) {
    const own = row.times.filter(({ runner }) => runner === ownName).map(({ medianMs }) => medianMs);
    if (own.length > 0) times.set(keyOf(row.work, row.dtype), Math.min(...own));
  }
  return {
    adapter: parsed.data.machine.adapter,
    ms: ({ work, dtype }) => times.get(keyOf(work, dtype)),
  };
}

/** By sizes, however the members of the stored value are ordered. */
function keyOf(work: Readonly<Record<string, unknown>> | Work, dtype: string): string {
  const members = Object.entries(work).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([members, dtype]);
}

/** What a row is called where there is little room. */
export function rowTitle({ model, batch, purpose, work, dtype }: KernelRow): string {
  return `${model}, batch ${batch}: ${purpose} (${work.kernel} ${shapeOf(work)} ${dtype})`;
}
