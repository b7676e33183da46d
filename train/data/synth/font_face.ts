/** A font as words are set in it: which characters it can draw, and their shapes in a line. */
import type { Outline } from './outline.js';

/**
 * The shapes and widths of a font's characters and nothing else of it: hundreds of open fonts would take gigabytes. Shapes
 * are in memory that threads share. Kerning is left out, as shaping would take ten times as long as all the rest; the
 * spacing by chance is larger.
 */
export interface FaceData {
  readonly codePoints: Uint32Array;
  /** How far the next character is, in ems. */
  readonly advances: Float32Array;
  /** For each character the number of points of it and of those before, two values each. */
  readonly pointEnds: Uint32Array;
  /** The same of polygons. */
  readonly polygonEnds: Uint32Array;
  /** Of all characters, in ems, y upwards from the baseline. */
  readonly points: Float32Array;
  /** For each polygon the number of points up to its end, counted from the start of its character. */
  readonly ends: Int32Array;
  /** Whether small letters look like capitals. */
  readonly capitalsOnly: boolean;
}

/** A character of a line: its shape, and how far from the start of the line it begins, in ems. */
export interface PlacedCharacter {
  readonly outline: Outline;
  readonly x: number;
}

export class FontFace {
  private readonly indices: ReadonlyMap<number, number>;

  constructor(private readonly data: FaceData) {
    this.indices = new Map(Array.from(data.codePoints, (codePoint, index) => [codePoint, index]));
  }

  get capitalsOnly(): boolean {
    return this.data.capitalsOnly;
  }

  /** Whether every character has a shape; a space needs none. */
  canDraw(text: string): boolean {
    return Array.from(text).every((character) => this.indices.has(character.codePointAt(0)!));
  }

  /**
   * A text that can be drawn, set in one line from x = 0 on, y upwards from the baseline.
   * @param spacing added between characters, in ems
   */
  setLine(text: string, spacing: number): PlacedCharacter[] {
    let x = 0;
    return Array.from(text, (character) => {
      const index = this.indices.get(character.codePointAt(0)!)!;
      const placed = { outline: this.outline(index), x };
      x += this.data.advances[index]! + spacing;
      return placed;
    });
  }

  private outline(index: number): Outline {
    const { points, pointEnds, ends, polygonEnds } = this.data;
    const [firstPoint, firstPolygon] =
      index === 0 ? [0, 0] : [pointEnds[index - 1]!, polygonEnds[index - 1]!];
    return {
      points: points.subarray(2 * firstPoint, 2 * pointEnds[index]!),
      ends: ends.subarray(firstPolygon, polygonEnds[index]),
    };
  }
}
