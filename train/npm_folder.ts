/** Folders of the user's that npm packages are installed into, apart from any project. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const longestComplaint = 600;

/** What is to be in a folder. */
export interface NpmFolder {
  /** Name in the folder's package.json. It marks the folder as ours, so that no other project's is overwritten. */
  readonly name: string;
  /** Versions by package. */
  readonly packages: Readonly<Record<string, string>>;
}

export interface NpmOptions {
  readonly signal?: AbortSignal;
  /** Command in place of `npm`. */
  readonly npm?: string;
}

/** The part of a package's manifest that is asked for. */
export interface NpmManifest {
  readonly name?: unknown;
  readonly version?: unknown;
  readonly license?: unknown;
}

/**
 * Installs packages without running any script of theirs. One that cannot be had is left out; a second call completes
 * the first.
 * @returns the manifests of what is installed, by package
 * @throws Error if the folder holds another project, or npm fails
 */
export async function installNpmFolder(
  folder: string,
  { name, packages }: NpmFolder,
  { signal, npm = 'npm' }: NpmOptions = {},
): Promise<ReadonlyMap<string, NpmManifest>> {
  mkdirSync(folder, { recursive: true });
  const manifest = join(folder, 'package.json');
  if (existsSync(manifest) && manifestOf(manifest).name !== name) {
    throw new Error(`${folder} holds a package.json of something else; give a new folder.`);
  }
  // A package that is no longer published must not keep the others away.
  const wanted = { name, private: true, optionalDependencies: packages };
  writeFileSync(manifest, `${JSON.stringify(wanted, null, 2)}\n`);
  await runNpm(npm, folder, signal);
  const installed = new Map<string, NpmManifest>();
  for (const wantedName of Object.keys(packages)) {
    const found = installedManifest(folder, wantedName);
    if (found) installed.set(wantedName, found);
  }
  return installed;
}

/** The manifest of a package in a folder, undefined where it is not installed. */
export function installedManifest(folder: string, name: string): NpmManifest | undefined {
  const manifest = manifestOf(join(folder, 'node_modules', name, 'package.json'));
  return manifest.name === name ? manifest : undefined;
}

function manifestOf(path: string): NpmManifest {
  try {
    return (JSON.parse(readFileSync(path, 'utf8')) ?? {}) as NpmManifest;
  } catch {
    return {};
  }
}

async function runNpm(npm: string, folder: string, signal: AbortSignal | undefined): Promise<void> {
  const child = spawn(npm, ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    // On Windows npm is a script of the shell; nothing of the user's is in the command.
    shell: process.platform === 'win32',
    ...(signal ? { signal } : {}),
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-longestComplaint);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      const missing = 'npm is not installed or not in the PATH; it comes with Node.';
      reject(error.code === 'ENOENT' ? new Error(missing) : error);
    });
    child.on('close', resolve);
  });
  if (code !== 0) throw new Error(`npm install in ${folder} failed (exit code ${code}): ${complaint.trim()}`);
}
