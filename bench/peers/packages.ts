/** The peers' packages: which, how they are installed, how they are loaded. They are no dependencies of this one. */
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type NpmOptions, installNpmFolder, installedManifest } from '../../train/npm_folder.js';
import { PeerUnable } from './peer_unable.js';

/**
 * Versions that this was written for. TensorFlow.js's gradients are in `tfjs` alone: `tfjs-core` has them only as files
 * that Node cannot load.
 */
export const peerPackages = {
  'onnxruntime-web': '1.30.0',
  '@tensorflow/tfjs': '4.22.0',
  '@tensorflow/tfjs-backend-webgpu': '4.22.0',
  '@jax-js/jax': '0.1.25',
  'onnxruntime-node': '1.30.0',
} as const;

export type PeerPackage = keyof typeof peerPackages;

/** Name in the package.json of a folder of peers. */
const manifestName = 'clip4str-engine-peers';

/**
 * Installs the peers' packages into a folder, without running any script of theirs: that also keeps ONNX Runtime from
 * downloading its CUDA libraries. A second call completes the first.
 * @returns versions of what is installed, by package
 * @throws Error if the folder holds another project, or npm fails or installs none
 */
export async function installPeers(
  folder: string,
  options: NpmOptions = {},
): Promise<ReadonlyMap<string, string>> {
  const installed = await installNpmFolder(folder, { name: manifestName, packages: peerPackages }, options);
  if (installed.size === 0) throw new Error(`${folder}: npm installed none of the peers.`);
  return new Map([...installed].map(([name, { version }]) => [name, String(version)]));
}

/** A command that installs by hand what {@link installPeers} does, or some packages of it. */
export function installCommand(
  folder: string,
  names: readonly PeerPackage[] = Object.keys(peerPackages) as PeerPackage[],
): string {
  const packages = names.map((name) => `${name}@${peerPackages[name]}`);
  return `npm install --ignore-scripts --prefix ${folder} ${packages.join(' ')}`;
}

/**
 * The version of an installed package.
 * @throws PeerUnable that names the command which installs it
 */
export function installedVersion(folder: string, name: PeerPackage): string {
  const version = installedManifest(folder, name)?.version;
  if (typeof version !== 'string') {
    throw new PeerUnable(`${name} is not installed: ${installCommand(folder, [name])}`);
  }
  return version;
}

/** Loads an installed CommonJS package, the part `Module` of whose exports is used. */
export function requireInstalled<Module extends object>(
  folder: string,
  name: PeerPackage,
  exported: readonly (keyof Module & string)[],
): Module {
  installedVersion(folder, name);
  const load = createRequire(pathToFileURL(join(resolve(folder), 'package.json')));
  return checked(name, load(name), exported);
}

/** Loads a module of an installed package. */
export async function importInstalled<Module extends object>(
  folder: string,
  name: PeerPackage,
  path: string,
  exported: readonly (keyof Module & string)[],
): Promise<Module> {
  installedVersion(folder, name);
  return checked(name, await import(installedUrl(folder, name, path)), exported);
}

/** Path of a file of an installed package. */
export function installedPath(folder: string, name: PeerPackage, path: string): string {
  return join(resolve(folder), 'node_modules', name, path);
}

export function installedUrl(folder: string, name: PeerPackage, path: string): string {
  return pathToFileURL(installedPath(folder, name, path)).href;
}

/** Another version may lack what is used: better told here than by a call of undefined. */
function checked<Module extends object>(
  name: PeerPackage,
  module: unknown,
  exported: readonly (keyof Module & string)[],
): Module {
  const found = module as Module;
  const lacking = exported.filter((key) => found[key] === undefined);
  if (lacking.length > 0)
    throw new PeerUnable(`${name} has no ${lacking.join(', ')}; ${peerPackages[name]} has.`);
  return found;
}
