/** A font as words are set in it: which characters it can draw, and their shapes in a line. */
import { type Font, create } from 'fontkit';
import { readFileSync } from 'node:fs';
import { glyphOutline } from './glyph_outlines.js';
import { type Bounds, type Outline, boundsOf } from './outline.js';
import { isWoff, unpackWoff } from './woff.js';

/**
 * Opens a .ttf, .otf, .woff or .woff2 file.
 * @throws Error if it cannot be read or is no font
 */
export function openFont(path: string): Font {
  const bytes = readFileSync(path);
  const font = create(isWoff(bytes) ? unpackWoff(bytes) : bytes);
  if ('fonts' in font) throw new Error('it is a collection of fonts; take them apart first');
  const { unitsPerEm } = font;
  if (!(unitsPerEm >= 16 && unitsPerEm <= 16384)) throw new Error(`its em has ${unitsPerEm} units`);
  return font;
}

/** The shape of a character in ems; undefined if the font has none, or one that cannot be drawn. */
export function characterOutline(font: Font, codePoint: number): Outline | undefined {
  return font.hasGlyphForCodePoint(codePoint)
    ? glyphOutline(font.glyphForCodePoint(codePoint).path, font.unitsPerEm)
    : undefined;
}

interface Character {
  readonly outline: Outline;
  /** How far the next character is, in ems. */
  readonly advance: number;
}

/** A character of a line: its shape, and how far from the start of the line it begins, in ems. */
export interface PlacedCharacter {
  readonly outline: Outline;
  readonly x: number;
}

const space = 0x20;
/** Printable ASCII. */
const usual = Array.from({ length: 0x7f - space }, (_, index) => space + index);
const widestAdvance = 4;

/**
 * Keeps the shapes and widths of characters and nothing else of the font: hundreds of open fonts would take gigabytes.
 * Kerning is left out, as shaping would take ten times as long as opening the font; the spacing by chance is larger.
 */
export class FontFace {
  /** By code point; undefined for those that cannot be drawn. */
  private readonly characters = new Map<number, Character | undefined>();
  private capitalsKnown: boolean | undefined;

  constructor(private readonly path: string) {}

  /**
   * Whether every character has a shape; a space needs none.
   * @throws Error if the font can no longer be read
   */
  canDraw(text: string): boolean {
    const codePoints = Array.from(text, (character) => character.codePointAt(0)!);
    const unknown = codePoints.filter((codePoint) => !this.characters.has(codePoint));
    if (unknown.length > 0) this.load(unknown);
    return codePoints.every((codePoint) => this.characters.get(codePoint) !== undefined);
  }

  /** Whether small letters look like capitals: none rises above the others or hangs below the line. */
  get capitalsOnly(): boolean {
    this.capitalsKnown ??= this.findCapitals();
    return this.capitalsKnown;
  }

  /**
   * A text that can be drawn, set in one line from x = 0 on, y upwards from the baseline.
   * @param spacing added between characters, in ems
   */
  setLine(text: string, spacing: number): PlacedCharacter[] {
    let x = 0;
    return Array.from(text, (letter) => {
      const { outline, advance } = this.characters.get(letter.codePointAt(0)!)!;
      const placed = { outline, x };
      x += advance + spacing;
      return placed;
    });
  }

  private load(codePoints: readonly number[]): void {
    const font = openFont(this.path);
    for (const codePoint of this.characters.size === 0 ? [...usual, ...codePoints] : codePoints) {
      this.characters.set(codePoint, loadCharacter(font, codePoint));
    }
  }

  private findCapitals(): boolean {
    if (!this.canDraw('hnpg')) return false;
    const extent = (letter: string): Bounds => boundsOf(this.characters.get(letter.codePointAt(0)!)!.outline);
    const [h, n] = [extent('h'), extent('n')];
    const height = n.most - n.least;
    const hangs = ['p', 'g'].some((letter) => extent(letter).least < n.least - 0.15 * height);
    return h.most < n.least + 1.12 * height && !hangs;
  }
}

function loadCharacter(font: Font, codePoint: number): Character | undefined {
  try {
    const outline = characterOutline(font, codePoint);
    if (!outline || (outline.ends.length === 0 && codePoint !== space)) return undefined;
    const advance = font.glyphForCodePoint(codePoint).advanceWidth / font.unitsPerEm;
    return Math.abs(advance) <= widestAdvance ? { outline, advance } : undefined;
  } catch {
    // Damage to one glyph leaves the others as they are.
    return undefined;
  }
}
