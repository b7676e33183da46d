/** `bench --peers`: other runtimes beside this engine. */
import { join } from 'node:path';
import type { EncoderComparison } from '../bench/model/encoder_comparison.js';
import {
  type MissingPeer,
  type OpenedPeers,
  type Peer,
  type PeerName,
  installPeers,
  notInstalled,
  openPeers,
} from '../bench/peers/index.js';
import { processIdle } from '../bench/report/process_idle.js';
import type { Device } from '../engine/index.js';
import { defaultCacheFolder } from '../weights/index.js';
import { type BenchOptions, wantsPeers } from './bench_options.js';
import { UsageError, printable } from './errors.js';
import { deviceOptions } from './options.js';
import { formatTable, tell } from './output.js';

/** Where `--install-peers` puts them. */
const peersFolder = (): string => join(defaultCacheFolder(), 'peers');

/** Installs the peers where `--install-peers` asks for it. */
export async function installWanted(
  { installPeers: wanted, quiet }: BenchOptions,
  signal: AbortSignal,
): Promise<void> {
  if (!wanted) return;
  const folder = peersFolder();
  if (!quiet) tell(`Installing the peers from npm into ${printable(folder)} (about 400 MB) ...`);
  const installed = await installPeers(folder, { signal }).catch((error: unknown) => {
    // npm was killed by the signal.
    signal.throwIfAborted();
    throw error;
  });
  if (!quiet) tell([...installed].map(([name, version]) => `${name} ${version}`).join(', '));
}

/**
 * Opens the peers where `--peers` or `--install-peers` asks for them, and waits until their code is compiled.
 * @param names which; all unless given
 * @throws UsageError where none can take part, the signal's reason where that is given
 */
export async function openWanted(
  { adapter }: Device,
  options: BenchOptions,
  signal: AbortSignal,
  names?: readonly PeerName[],
): Promise<OpenedPeers> {
  if (!wantsPeers(options)) return { peers: [], missing: [] };
  const opened = await openPeers(peersFolder(), adapter.name, names, deviceOptions(undefined));
  const { peers, missing } = opened;
  if (peers.length === 0) throw noneCanTakePart(missing);
  if (!options.quiet) {
    for (const { name, reason } of missing) tell(`${name} takes no part: ${printable(reason)}`);
    tell('Waiting until their code is compiled, for up to two minutes ...');
  }
  try {
    const idle = await processIdle({ windowMs: 200, longestMs: 120_000, signal });
    if (!idle && !options.quiet) tell('It still is; times may be too long.');
  } catch (error) {
    for (const peer of peers) await peer.close();
    throw error;
  }
  return opened;
}

/** Refuses early, before anything is loaded, where none of some peers is installed. @throws UsageError */
export function needInstalled(names: readonly PeerName[]): void {
  const missing = notInstalled(peersFolder(), names);
  if (missing.length === names.length) throw noneCanTakePart(missing);
}

function noneCanTakePart(missing: readonly MissingPeer[]): UsageError {
  const reasons = missing.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
  return new UsageError(
    `--peers: none can take part (${printable(reasons)}). Run bench --kernels --install-peers once, with a network.`,
  );
}

/** Runs work with peers, and closes them afterwards. */
export async function withPeers<T>(peers: readonly Peer[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    for (const peer of peers) await peer.close();
  }
}

/** The image encoder beside others. */
export function encoderText(comparisons: readonly EncoderComparison[]): string {
  const head = ['image encoder', 'at once', 'ms a batch', 'theirs', 'ratio', 'difference'];
  const rows = comparisons.flatMap(({ batchSize, ownMs, peers }) =>
    peers.map((peer) => [
      peer.name,
      String(batchSize),
      ownMs.toFixed(1),
      ...('unable' in peer
        ? [printable(peer.unable), '', '']
        : [peer.ms.toFixed(1), `${peer.ratio.toPrecision(3)}x`, peer.difference.toExponential(1)]),
    ]),
  );
  return (
    '\nThe image encoder, from images on the device to projected features on it, in turns; the ratio is their time over ' +
    `ours, the difference the largest of a feature over the largest of ours.\n${formatTable([head, ...rows], [1, 2, 3, 4, 5])}`
  );
}
