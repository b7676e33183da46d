/** Reads a font file into what words are set with. */
import { readFileSync, statSync } from 'node:fs';
import { type Font, create } from 'fontkit';
import type { FaceData } from './font_face.js';
import { glyphOutline } from './glyph_outlines.js';
import { type Bounds, type Outline, boundsOf } from './outline.js';
import { isWoff, unpackWoff } from './woff.js';

/** A font that can be used, why one cannot be used, or that it is for other writing than Latin. */
export type ExaminedFont =
  | { readonly kind: 'usable'; readonly family: string; readonly face: FaceData }
  | { readonly kind: 'unusable'; readonly reason: string }
  | { readonly kind: 'other script' };

interface Character {
  readonly codePoint: number;
  readonly outline: Outline;
  readonly advance: number;
}

const largestFontBytes = 64 * 2 ** 20;
const capitals = Array.from('ABCDEFGHIJKLMNOPQRSTUVWXYZ', (letter) => letter.codePointAt(0)!);
const space = 0x20;
const widestAdvance = 4;
/** Class of fonts in the OS/2 table that have pictograms in the places of letters. */
const latinSymbols = 5;

/** @param codePoints characters that are wanted of the font, where it has them; the capitals A to Z must be among them */
export function examineFont(path: string, codePoints: readonly number[]): ExaminedFont {
  try {
    const { size } = statSync(path);
    if (size > largestFontBytes) return unusable(`has ${size} bytes; at most ${largestFontBytes} are read`);
    const font = openFont(readFileSync(path));
    if (!capitals.every((codePoint) => font.hasGlyphForCodePoint(codePoint))) return { kind: 'other script' };
    if ((font['OS/2'] as Font['OS/2'] | undefined)?.panose[0] === latinSymbols) {
      return unusable('is a font of symbols');
    }
    const characters = codePoints.flatMap((codePoint) => loadCharacter(font, codePoint) ?? []);
    const found = new Map(characters.map((character) => [character.codePoint, character]));
    if (!capitals.every((codePoint) => found.has(codePoint))) {
      return unusable('has no outlines of its letters: a damaged, bitmap or colour font?');
    }
    const family = font.getName('preferredFamily', 'en') ?? font.familyName;
    return { kind: 'usable', family: family || path, face: packed(characters, drawsCapitalsOnly(found)) };
  } catch (error) {
    return unusable(`is no font that can be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function unusable(reason: string): ExaminedFont {
  return { kind: 'unusable', reason };
}

/** @throws Error if the bytes are no font */
function openFont(bytes: Buffer): Font {
  const font = create(isWoff(bytes) ? unpackWoff(bytes) : bytes);
  if ('fonts' in font) throw new Error('it is a collection of fonts; take them apart first');
  const { unitsPerEm } = font;
  if (!(unitsPerEm >= 16 && unitsPerEm <= 16384)) throw new Error(`its em has ${unitsPerEm} units`);
  return font;
}

/** Undefined if the font does not have the character, or has no shape for it that can be drawn. */
function loadCharacter(font: Font, codePoint: number): Character | undefined {
  if (!font.hasGlyphForCodePoint(codePoint)) return undefined;
  try {
    const glyph = font.glyphForCodePoint(codePoint);
    const outline = glyphOutline(glyph.path, font.unitsPerEm);
    if (!outline || (outline.ends.length === 0 && codePoint !== space)) return undefined;
    const advance = glyph.advanceWidth / font.unitsPerEm;
    return Math.abs(advance) <= widestAdvance ? { codePoint, outline, advance } : undefined;
  } catch {
    // Damage to one glyph leaves the others as they are.
    return undefined;
  }
}

/** Whether no small letter rises above the others or hangs below the line. */
function drawsCapitalsOnly(characters: ReadonlyMap<number, Character>): boolean {
  const extent = (letter: string): Bounds | undefined => {
    const character = characters.get(letter.codePointAt(0)!);
    return character && boundsOf(character.outline);
  };
  const [h, n, p, g] = [extent('h'), extent('n'), extent('p'), extent('g')];
  if (!h || !n || !p || !g) return false;
  const height = n.most - n.least;
  return h.most < n.least + 1.12 * height && Math.min(p.least, g.least) >= n.least - 0.15 * height;
}

function packed(characters: readonly Character[], capitalsOnly: boolean): FaceData {
  const count = (size: (outline: Outline) => number): { ends: Uint32Array; total: number } => {
    let total = 0;
    return { ends: Uint32Array.from(characters, ({ outline }) => (total += size(outline))), total };
  };
  const polygonCounts = count(({ ends }) => ends.length);
  const pointCounts = count(({ points }) => points.length / 2);
  const points = new Float32Array(new SharedArrayBuffer(8 * pointCounts.total));
  const ends = new Int32Array(new SharedArrayBuffer(4 * polygonCounts.total));
  characters.forEach(({ outline }, index) => {
    points.set(outline.points, 2 * pointCounts.ends[index]! - outline.points.length);
    ends.set(outline.ends, polygonCounts.ends[index]! - outline.ends.length);
  });
  return {
    codePoints: Uint32Array.from(characters, ({ codePoint }) => codePoint),
    advances: Float32Array.from(characters, ({ advance }) => advance),
    pointEnds: pointCounts.ends,
    polygonEnds: polygonCounts.ends,
    points,
    ends,
    capitalsOnly,
  };
}
