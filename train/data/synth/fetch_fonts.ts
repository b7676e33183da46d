/** Installs font families with npm into a folder of the user's. */
import { type NpmOptions, installNpmFolder } from '../../npm_folder.js';
import { recommendedFamilies } from './font_families.js';

const manifestName = 'clip4str-engine-fonts';
const versions = '^5.0.0';

export interface FetchedFonts {
  readonly families: number;
  /** How many families are under each licence, by its SPDX name. */
  readonly licences: ReadonlyMap<string, number>;
  /** Packages that the registry does not have. */
  readonly missing: readonly string[];
}

export interface FetchOptions extends NpmOptions {
  /** Names of npm packages, the recommended families unless given. */
  readonly packages?: readonly string[];
}

/**
 * Installs families as npm packages, without running any script of theirs. A second call completes the first.
 * @throws Error if the folder holds another project, or npm fails
 */
export async function fetchFonts(
  folder: string,
  { packages = recommendedFamilies, ...options }: FetchOptions = {},
): Promise<FetchedFonts> {
  const wanted = Object.fromEntries(packages.map((name) => [name, versions]));
  const installed = await installNpmFolder(folder, { name: manifestName, packages: wanted }, options);
  const missing = packages.filter((name) => !installed.has(name));
  if (missing.length === packages.length)
    throw new Error(`${folder}: npm installed none of ${missing.length} families.`);
  const licences = new Map<string, number>();
  for (const { license } of installed.values()) {
    const licence = typeof license === 'string' ? license : 'unknown';
    licences.set(licence, (licences.get(licence) ?? 0) + 1);
  }
  return { families: installed.size, licences, missing };
}
