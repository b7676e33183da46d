/** From the curves of a glyph to polygons fine enough to be bent. */
import type { Path, PathCommand } from 'fontkit';
import type { Outline } from './outline.js';

/** Largest distance between two points along a straight side, in ems: bent letters stay smooth. */
const straightStep = 0.12;
/** The same along curves, measured on their control points. */
const curveStep = 0.09;
const mostPiecesPerCurve = 12;
/** Glyphs beyond these are damaged or no letters. */
const mostCommands = 3000;
const mostEms = 6;

/** The glyph's shape in ems, y upwards from the baseline; undefined if it is none that can be drawn. */
export function glyphOutline(path: Path, unitsPerEm: number): Outline | undefined {
  if (path.commands.length > mostCommands) return undefined;
  const flat = new Flattener(unitsPerEm);
  for (const command of path.commands) flat.add(command);
  const outline = flat.finish();
  return outline.points.every((value) => Math.abs(value) <= mostEms) ? outline : undefined;
}

class Flattener {
  private readonly points: number[] = [];
  private readonly ends: number[] = [];
  private x = 0;
  private y = 0;

  constructor(private readonly unitsPerEm: number) {}

  add({ command, args }: PathCommand): void {
    const values = args.map((value) => value / this.unitsPerEm);
    if (command === 'moveTo') {
      this.closeContour();
      [this.x, this.y] = values as [number, number];
    } else if (command === 'closePath') {
      this.closeContour();
    } else {
      this.addCurve([this.x, this.y, ...values]);
    }
  }

  finish(): Outline {
    this.closeContour();
    return { points: Float32Array.from(this.points), ends: Int32Array.from(this.ends) };
  }

  private closeContour(): void {
    const count = this.points.length / 2;
    if (count > (this.ends.at(-1) ?? 0)) this.ends.push(count);
  }

  /** Adds the points after the first of a line or Bézier curve, given by x and y of its two to four control points. */
  private addCurve(control: readonly number[]): void {
    let length = 0;
    for (let i = 2; i < control.length; i += 2) {
      length += Math.hypot(control[i]! - control[i - 2]!, control[i + 1]! - control[i - 1]!);
    }
    const straight = control.length === 4;
    const wanted = Math.ceil(length / (straight ? straightStep : curveStep));
    const pieces = Math.min(Math.max(wanted, straight ? 1 : 2), mostPiecesPerCurve);
    for (let piece = 1; piece <= pieces; piece++) {
      this.points.push(bezier(control, 0, piece / pieces), bezier(control, 1, piece / pieces));
    }
    [this.x, this.y] = control.slice(-2) as [number, number];
  }
}

/** One coordinate of a Bézier curve of any degree. */
function bezier(control: readonly number[], axis: 0 | 1, t: number): number {
  const [a, b, c, d] = [control[axis]!, control[axis + 2]!, control[axis + 4], control[axis + 6]];
  const s = 1 - t;
  if (c === undefined) return s * a + t * b;
  if (d === undefined) return s * s * a + 2 * s * t * b + t * t * c;
  return s * s * s * a + 3 * s * s * t * b + 3 * s * t * t * c + t * t * t * d;
}
