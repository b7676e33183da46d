/** Finds the fonts to write with, and leaves out those that cannot be used. */
import glob from 'fast-glob';
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, extname, join, sep } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Font } from 'fontkit';
import { z } from 'zod';
import { characterOutline, openFont } from './font_face.js';
import { includedFamilies } from './font_families.js';

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
  readonly paths: readonly string[];
}

export interface FoundFonts {
  readonly families: readonly FontFamily[];
  readonly faults: readonly Fault[];
  /** Fonts without Latin letters: packages keep other scripts in files of their own. */
  readonly otherScripts: number;
}

const largestFontBytes = 64 * 2 ** 20;
const largestMetadataBytes = 2 ** 20;
const endings = ['.ttf', '.otf', '.woff', '.woff2'];
const capitals = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

/**
 * The usable fonts below folders, or the ones that come with the package, sorted by their path in the folder. Of files that
 * differ only in their ending, one is taken.
 * @throws Error if a folder cannot be read
 */
export async function findFonts(folders: readonly string[]): Promise<FoundFonts> {
  const roots = folders.length > 0 ? folders : includedFamilies.map(packageFolder);
  const families = new Map<string, { category: string | undefined; paths: string[] }>();
  const faults: Fault[] = [];
  let otherScripts = 0;
  for (const root of roots) {
    if (!statSync(root).isDirectory()) throw new Error(`${root} is a file, not a folder of fonts.`);
    for (const path of await fontsBelow(root)) {
      // Hundreds of fonts take a second: Ctrl-C is to be heard.
      await setImmediate();
      const examined = examine(path);
      if (examined === 'other script') otherScripts++;
      else if ('reason' in examined) faults.push({ name: path, reason: examined.reason });
      else {
        const known = families.get(examined.family);
        if (known) known.paths.push(path);
        else families.set(examined.family, { category: examined.category, paths: [path] });
      }
    }
  }
  return {
    families: Array.from(families, ([name, { category, paths }]) => ({ name, category, paths })),
    faults,
    otherScripts,
  };
}

/** Folder of an installed font package. */
function packageFolder(name: string): string {
  return dirname(fileURLToPath(import.meta.resolve(`${name}/package.json`)));
}

async function fontsBelow(root: string): Promise<string[]> {
  const found = await glob('**/*.{ttf,otf,woff,woff2}', {
    cwd: root,
    caseSensitiveMatch: false,
    followSymbolicLinks: false,
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

type Examined = { family: string; category: string | undefined } | { reason: string } | 'other script';

function examine(path: string): Examined {
  try {
    const { size } = statSync(path);
    if (size > largestFontBytes) return { reason: `has ${size} bytes; at most ${largestFontBytes} are read` };
    const packaged = fontsourceMetadata(path);
    if (packaged?.subsets?.some((subset) => subset !== 'latin' && basename(path).includes(`-${subset}-`))) {
      return 'other script';
    }
    const font = openFont(path);
    const codePoints = Array.from(capitals, (letter) => letter.codePointAt(0)!);
    if (!codePoints.every((codePoint) => font.hasGlyphForCodePoint(codePoint))) return 'other script';
    if (!codePoints.every((codePoint) => characterOutline(font, codePoint)?.ends.length)) {
      return { reason: 'has no outlines of its letters: a bitmap or colour font?' };
    }
    // Pictograms in the places of letters; some fonts say so in their classification.
    if ((font['OS/2'] as Font['OS/2'] | undefined)?.panose[0] === 5)
      return { reason: 'is a font of symbols' };
    const family = packaged?.family ?? font.getName('preferredFamily', 'en') ?? font.familyName;
    return { family: family || path, category: packaged?.category };
  } catch (error) {
    return {
      reason: `is no font that can be read: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

const metadataShape = z.object({
  family: z.string().optional(),
  category: z.string().optional(),
  subsets: z.array(z.string()).optional(),
});

/** What the packages of Fontsource tell of their fonts in `metadata.json`, above the folder of files. */
function fontsourceMetadata(path: string): z.infer<typeof metadataShape> | undefined {
  const file = join(dirname(path), '..', 'metadata.json');
  try {
    if (statSync(file).size > largestMetadataBytes) return undefined;
    return metadataShape.safeParse(JSON.parse(readFileSync(file, 'utf8'))).data;
  } catch {
    return undefined;
  }
}
