/** Other runtimes that do the same work on the same adapter, where they are installed. */
import type { AdapterOptions } from '../../engine/adapters.js';
import { openJax } from './jax.js';
import { type PeerAdapter, peerAdapter, withNavigatorGpu } from './navigator_gpu.js';
import { openOnnxCpu } from './onnx_cpu.js';
import { openOnnxWeb } from './onnx_web.js';
import { type PeerPackage, installedVersion } from './packages.js';
import type { Peer } from './peer.js';
import { reasonOf } from './peer_unable.js';
import { openTensorFlow } from './tensorflow.js';

export { installCommand, installPeers, peerPackages } from './packages.js';
export type { Peer, PreparedWork } from './peer.js';
export { PeerUnable } from './peer_unable.js';

/** How each peer is opened, by the name that it is asked for with. */
const openers = {
  'onnxruntime-web': openOnnxWeb,
  tfjs: openTensorFlow,
  'jax-js': openJax,
  'onnxruntime-node': openOnnxCpu,
} as const satisfies Record<string, (folder: string, adapter: PeerAdapter) => Promise<Peer>>;

export type PeerName = keyof typeof openers;

export const peerNames = Object.keys(openers) as readonly PeerName[];

/** The package that a peer cannot do without. */
const packageOf = {
  'onnxruntime-web': 'onnxruntime-web',
  tfjs: '@tensorflow/tfjs-backend-webgpu',
  'jax-js': '@jax-js/jax',
  'onnxruntime-node': 'onnxruntime-node',
} as const satisfies Record<PeerName, PeerPackage>;

/** Which of some peers are not installed in a folder. Nothing of theirs is loaded. */
export function notInstalled(folder: string, names: readonly PeerName[]): MissingPeer[] {
  return names.flatMap((name) => {
    try {
      installedVersion(folder, packageOf[name]);
      return [];
    } catch (error) {
      return [{ name, reason: reasonOf(error) }];
    }
  });
}

/** A peer that cannot take part, and why. */
export interface MissingPeer {
  readonly name: PeerName;
  readonly reason: string;
}

export interface OpenedPeers {
  readonly peers: Peer[];
  readonly missing: MissingPeer[];
}

/**
 * Opens the peers that are installed in a folder, all on one adapter.
 * @param folder as {@link installPeers} fills it
 * @param adapterName as `openDevice` takes it; undefined for the first
 * @param names which peers, all unless given
 * @throws AdapterError where the engine would
 */
export async function openPeers(
  folder: string,
  adapterName: string | undefined,
  names: readonly PeerName[] = peerNames,
  options: AdapterOptions = {},
): Promise<OpenedPeers> {
  const adapter = await peerAdapter(adapterName, options);
  const opened: OpenedPeers = { peers: [], missing: [] };
  // One after another: each finds the adapter as `navigator.gpu`.
  for (const name of names) {
    try {
      opened.peers.push(await withNavigatorGpu(adapter, () => openers[name](folder, adapter)));
    } catch (error) {
      opened.missing.push({ name, reason: reasonOf(error) });
    }
  }
  return opened;
}
