/** Installs font families with npm into a folder of the user's. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { recommendedFamilies } from './font_families.js';

/** Marks a folder as ours, so that no other project's package.json is overwritten. */
const manifestName = 'clip4str-engine-fonts';
const versions = '^5.0.0';
const longestComplaint = 600;

export interface FetchedFonts {
  readonly families: number;
  /** How many families are under each licence, by its SPDX name. */
  readonly licences: ReadonlyMap<string, number>;
  /** Packages that the registry does not have. */
  readonly missing: readonly string[];
}

export interface FetchOptions {
  /** Names of npm packages, the recommended families unless given. */
  readonly packages?: readonly string[];
  readonly signal?: AbortSignal;
  /** Command in place of `npm`. */
  readonly npm?: string;
}

/**
 * Installs families as npm packages, without running any script of theirs. A second call completes the first.
 * @throws Error if the folder holds another project, or npm fails
 */
export async function fetchFonts(
  folder: string,
  { packages = recommendedFamilies, signal, npm = 'npm' }: FetchOptions = {},
): Promise<FetchedFonts> {
  mkdirSync(folder, { recursive: true });
  const manifest = join(folder, 'package.json');
  if (existsSync(manifest) && manifestOf(manifest).name !== manifestName) {
    throw new Error(`${folder} holds a package.json of something else; give a new folder.`);
  }
  // A family that is no longer published must not keep the others away.
  const optionalDependencies = Object.fromEntries(packages.map((name) => [name, versions]));
  writeFileSync(
    manifest,
    `${JSON.stringify({ name: manifestName, private: true, optionalDependencies }, null, 2)}\n`,
  );
  await runNpm(npm, folder, signal);
  const licences = new Map<string, number>();
  const missing: string[] = [];
  for (const name of packages) {
    const installed = manifestOf(join(folder, 'node_modules', name, 'package.json'));
    if (installed.name !== name) {
      missing.push(name);
      continue;
    }
    const licence = typeof installed.license === 'string' ? installed.license : 'unknown';
    licences.set(licence, (licences.get(licence) ?? 0) + 1);
  }
  if (missing.length === packages.length)
    throw new Error(`${folder}: npm installed none of ${missing.length} families.`);
  return { families: packages.length - missing.length, licences, missing };
}

function manifestOf(path: string): { name?: unknown; license?: unknown } {
  try {
    return (JSON.parse(readFileSync(path, 'utf8')) ?? {}) as { name?: unknown; license?: unknown };
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
