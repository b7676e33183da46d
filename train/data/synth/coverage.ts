/**
 * How much of each pixel a shape covers, exactly, by summing the signed areas to the right of its edges.
 *
 * Each edge adds to the pixels of the rows that it crosses what the coverage changes there from one column to the next;
 * the running sum along a row is then the coverage. Shapes that turn the same way and overlap count once.
 */
import type { Outline } from './outline.js';

/** Coverage of a picture's pixels, `[height, width]`, from 0 to 1. */
export interface Mask {
  readonly width: number;
  readonly height: number;
  readonly values: Float32Array;
}

/** The inside of a shape, whose points are in pixels from the upper left corner of the picture. */
export function fillMask({ points, ends }: Outline, width: number, height: number): Mask {
  const changes = new Changes(width, height);
  let first = 0;
  for (const end of ends) {
    let before = end - 1;
    for (let point = first; point < end; point++) {
      changes.addEdge(
        points[2 * before]!,
        points[2 * before + 1]!,
        points[2 * point]!,
        points[2 * point + 1]!,
      );
      before = point;
    }
    first = end;
  }
  return changes.sum();
}

const joinCorners = 8;

/** A line of the given width in pixels along the edge of a shape, half of it inside and half outside, with round corners. */
export function strokeMask(
  { points, ends }: Outline,
  lineWidth: number,
  width: number,
  height: number,
): Mask {
  const changes = new Changes(width, height);
  const radius = lineWidth / 2;
  const corners = Array.from({ length: joinCorners }, (_, corner) => {
    const angle = (2 * Math.PI * (corner + 0.5)) / joinCorners;
    return [radius * Math.cos(angle), radius * Math.sin(angle)] as const;
  });
  let first = 0;
  for (const end of ends) {
    let [x, y] = [points[2 * (end - 1)]!, points[2 * (end - 1) + 1]!];
    for (let point = first; point < end; point++) {
      const [nextX, nextY] = [points[2 * point]!, points[2 * point + 1]!];
      const length = Math.hypot(nextX - x, nextY - y);
      if (length > 0) {
        // To the left of the direction of travel, so that every piece turns the same way.
        const [acrossX, acrossY] = [(-(nextY - y) / length) * radius, ((nextX - x) / length) * radius];
        changes.addEdge(x - acrossX, y - acrossY, nextX - acrossX, nextY - acrossY);
        changes.addEdge(nextX - acrossX, nextY - acrossY, nextX + acrossX, nextY + acrossY);
        changes.addEdge(nextX + acrossX, nextY + acrossY, x + acrossX, y + acrossY);
        changes.addEdge(x + acrossX, y + acrossY, x - acrossX, y - acrossY);
      }
      let [beforeX, beforeY] = corners[joinCorners - 1]!;
      for (const [cornerX, cornerY] of corners) {
        changes.addEdge(nextX + beforeX, nextY + beforeY, nextX + cornerX, nextY + cornerY);
        [beforeX, beforeY] = [cornerX, cornerY];
      }
      [x, y] = [nextX, nextY];
    }
    first = end;
  }
  return changes.sum();
}

class Changes {
  /** One column more than the picture takes what lies to the right of it. */
  private readonly values: Float32Array;
  private readonly stride: number;

  constructor(
    private readonly width: number,
    private readonly height: number,
  ) {
    this.stride = width + 2;
    this.values = new Float32Array(this.stride * height);
  }

  addEdge(x0: number, y0: number, x1: number, y1: number): void {
    if (y0 === y1) return;
    const { width, height, stride, values } = this;
    const direction = y0 < y1 ? 1 : -1;
    const topX = direction > 0 ? x0 : x1;
    const topY = direction > 0 ? y0 : y1;
    const endY = direction > 0 ? y1 : y0;
    const slope = (x1 - x0) / (y1 - y0);
    const lastRow = Math.min(height, Math.ceil(endY));
    for (let row = Math.max(0, Math.floor(topY)); row < lastRow; row++) {
      const from = Math.max(row, topY);
      const to = Math.min(row + 1, endY);
      const fromX = topX + (from - topY) * slope;
      const toX = topX + (to - topY) * slope;
      const left = Math.min(fromX, toX);
      const right = Math.max(fromX, toX);
      if (left >= width) continue;
      const middle = (left + right) / 2;
      const strength = direction * (to - from);
      const firstColumn = Math.max(0, Math.floor(left));
      let index = row * stride + firstColumn;
      if (right <= firstColumn + 1 && left >= firstColumn) {
        const inside = firstColumn + 1 - middle;
        values[index]! += strength * inside;
        values[index + 1]! += strength * (1 - inside);
        continue;
      }
      // Between the edge and the end of a column lies an area that grows quadratically while the edge goes on.
      const square = 2 * (right - left);
      let areaBefore =
        firstColumn >= right ? firstColumn - middle : Math.max(0, firstColumn - left) ** 2 / square;
      let coverageBefore = 0;
      for (let end = firstColumn + 1; coverageBefore < 1 && end <= width + 1; end++, index++) {
        const area = end < right ? (end - left) ** 2 / square : end - middle;
        const coverage = end - 1 >= right ? 1 : area - areaBefore;
        values[index]! += strength * (coverage - coverageBefore);
        areaBefore = area;
        coverageBefore = coverage;
      }
    }
  }

  sum(): Mask {
    const { width, height, stride } = this;
    const values = new Float32Array(width * height);
    for (let row = 0; row < height; row++) {
      let sum = 0;
      for (let column = 0; column < width; column++) {
        sum += this.values[row * stride + column]!;
        const coverage = Math.abs(sum);
        // Sums of rounded numbers leave a trace where there is nothing.
        values[row * width + column] = coverage > 1 ? 1 : coverage < 1e-4 ? 0 : coverage;
      }
    }
    return { width, height, values };
  }
}
