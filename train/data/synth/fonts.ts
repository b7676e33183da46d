/** Finds the fonts to write with, and leaves out those that cannot be used. */
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, extname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import glob from 'fast-glob';
import { z } from 'zod';
import { examineFonts } from './font_examiner.js';
import type { FaceData } from './font_face.js';
import { includedFamilies } from './font_families.js';
import { folderProblem } from './given_paths.js';

/** Something given by the user that is not used, and why. */
export interface Fault {
  readonly name: string;
  readonly reason: string;
}

/** The fonts of one family: weights and slants of the same letters. */
export interface FontFamily {
  readonly name: string;
  /** As Fontsource tells it: `sans-serif`, `serif`, `display`, `handwriting` or `monospace`; undefined where unknown. */
  readonly category: string | undefined;
  readonly faces: readonly FaceData[];
}

export interface FoundFonts {
  readonly families: readonly FontFamily[];
  readonly faults: readonly Fault[];
  /** Fonts without Latin letters: packages keep other scripts in files of their own. */
  readonly otherScripts: number;
}

const largestMetadataBytes = 2 ** 20;
const endings = ['.ttf', '.otf', '.woff', '.woff2'];
const [firstPrintable, lastPrintable] = [0x20, 0x7e];

/**
 * The usable fonts below folders, or the ones that come with the package, sorted by their path in the folder. Of files that
 * differ only in their ending, one is taken.
 * @param characters that are wanted beside those of ASCII
 * @throws Error if a folder cannot be read
 */
export async function findFonts(
  folders: readonly string[],
  characters: ReadonlySet<string>,
): Promise<FoundFonts> {
  const roots = folders.length > 0 ? folders : includedFamilies.map(packageFolder);
  const paths = (await Promise.all(roots.map(fontsBelow))).flat();
  const packages = paths.map(fontsourceMetadata);
  const latin = paths.filter((path, index) => !isOtherSubset(path, packages[index]));
  const examined = await examineFonts(latin, codePointsOf(characters));
  const families = new Map<string, { category: string | undefined; faces: FaceData[] }>();
  const faults: Fault[] = [];
  let otherScripts = paths.length - latin.length;
  for (const [index, font] of examined.entries()) {
    const path = latin[index]!;
    if (font.kind === 'other script') otherScripts += 1;
    else if (font.kind === 'unusable') faults.push({ name: path, reason: font.reason });
    else {
      const known = packages[paths.indexOf(path)];
      const name = known?.family ?? font.family;
      const family = families.get(name);
      if (family) family.faces.push(font.face);
      else families.set(name, { category: known?.category, faces: [font.face] });
    }
  }
  return {
    families: Array.from(families, ([name, { category, faces }]) => ({ name, category, faces })),
    faults,
    otherScripts,
  };
}

function codePointsOf(characters: ReadonlySet<string>): number[] {
  const codePoints = new Set(
    Array.from({ length: lastPrintable - firstPrintable + 1 }, (_, index) => firstPrintable + index),
  );
  for (const character of characters) codePoints.add(character.codePointAt(0)!);
  return [...codePoints].sort((a, b) => a - b);
}

/** Folder of an installed font package. */
function packageFolder(name: string): string {
  return dirname(fileURLToPath(import.meta.resolve(`${name}/package.json`)));
}

async function fontsBelow(root: string): Promise<string[]> {
  const problem = await folderProblem(root);
  if (problem) throw new Error(`the fonts' folder ${root} ${problem}.`);
  const found = await glob('**/*.{ttf,otf,woff,woff2}', {
    cwd: root,
    caseSensitiveMatch: false,
    followSymbolicLinks: false,
    suppressErrors: true,
  });
  const chosen = new Map<string, string>();
  for (const path of found) {
    const ending = extname(path);
    const stem = path.slice(0, -ending.length);
    const other = chosen.get(stem);
    if (other === undefined || rank(ending) < rank(extname(other))) chosen.set(stem, path);
  }
  return [...chosen.values()].sort().map((path) => join(root, path.split('/').join(sep)));
}

function rank(ending: string): number {
  return endings.indexOf(ending.toLowerCase());
}

const metadataShape = z.object({
  family: z.string().optional(),
  category: z.string().optional(),
  subsets: z.array(z.string()).optional(),
});

type Metadata = z.infer<typeof metadataShape>;

/** What the packages of Fontsource tell of their fonts in `metadata.json`, above the folder of files. */
function fontsourceMetadata(path: string): Metadata | undefined {
  const file = join(dirname(path), '..', 'metadata.json');
  try {
    if (statSync(file).size > largestMetadataBytes) return undefined;
    return metadataShape.safeParse(JSON.parse(readFileSync(file, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

/** Whether a file of Fontsource holds only the characters of another script, as its name then says. */
function isOtherSubset(path: string, metadata: Metadata | undefined): boolean {
  const subsets = metadata?.subsets ?? [];
  return subsets.some((subset) => subset !== 'latin' && basename(path).includes(`-${subset}-`));
}
