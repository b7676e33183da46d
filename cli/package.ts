import { existsSync, readFileSync } from 'node:fs';

/** Version of this package. */
export function ownVersion(): string {
  return versionIn(new URL('../../package.json', import.meta.url)) ?? 'unknown';
}

/** Versions that figures depend on. */
export function packageVersions(): { readonly webgpu: string; readonly version: string } {
  return { webgpu: versionOf('webgpu') ?? 'unknown', version: ownVersion() };
}

/** Version of an installed package, or undefined where it is not installed. */
export function versionOf(name: string): string | undefined {
  let entry: string;
  try {
    entry = import.meta.resolve(name);
  } catch {
    return undefined;
  }
  // The package may not export its package.json, so it is looked for above its entry point.
  for (let folder = new URL('.', entry); ; folder = new URL('..', folder)) {
    const version = versionIn(new URL('package.json', folder), name);
    if (version !== undefined || new URL('..', folder).href === folder.href) return version;
  }
}

function versionIn(file: URL, name?: string): string | undefined {
  if (!existsSync(file)) return undefined;
  const manifest = JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version?: string };
  return name === undefined || manifest.name === name ? manifest.version : undefined;
}
