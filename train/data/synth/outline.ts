/** Shapes as closed polygons, so that they can be bent point by point. */

/** Closed polygons that are filled together: what several of them cover counts once, holes turn the other way. */
export interface Outline {
  /** x and y of each point in turn. */
  readonly points: Float32Array;
  /** For each polygon the number of points up to its end. */
  readonly ends: Int32Array;
}

export interface Bounds {
  readonly left: number;
  readonly right: number;
  readonly least: number;
  readonly most: number;
}

/** Extent of the points: x from left to right, y from least to most. Of no points, all infinite. */
export function boundsOf({ points }: Outline): Bounds {
  let [left, right, least, most] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = [points[i]!, points[i + 1]!];
    if (x < left) left = x;
    if (x > right) right = x;
    if (y < least) least = y;
    if (y > most) most = y;
  }
  return { left, right, least, most };
}

/** Changes the place of points, given as x and y in turn, where they are stored. */
export type Warp = (points: Float32Array) => void;

/** The shape with its points moved; the one given stays as it is. */
export function warped(outline: Outline, warps: readonly Warp[]): Outline {
  const points = outline.points.slice();
  for (const warp of warps) warp(points);
  return { points, ends: outline.ends };
}

/** Several shapes as one. */
export function joined(outlines: readonly Outline[]): Outline {
  const points = new Float32Array(outlines.reduce((sum, outline) => sum + outline.points.length, 0));
  const ends = new Int32Array(outlines.reduce((sum, outline) => sum + outline.ends.length, 0));
  let [pointsDone, endsDone] = [0, 0];
  for (const outline of outlines) {
    points.set(outline.points, 2 * pointsDone);
    for (const end of outline.ends) ends[endsDone++] = pointsDone + end;
    pointsDone += outline.points.length / 2;
  }
  return { points, ends };
}

/** A rectangle whose sides have points at most `step` apart, so that it bends smoothly, and whose corners are cut. */
export function rectangle({ left, right, least, most }: Bounds, step: number, cut = 0): Outline {
  const corners = [
    [left + cut, least],
    [right - cut, least],
    [right, least + cut],
    [right, most - cut],
    [right - cut, most],
    [left + cut, most],
    [left, most - cut],
    [left, least + cut],
  ] as const;
  const values: number[] = [];
  corners.forEach(([x, y], index) => {
    const [nextX, nextY] = corners[(index + 1) % corners.length]!;
    const pieces = Math.max(1, Math.ceil(Math.hypot(nextX - x, nextY - y) / step));
    for (let piece = 0; piece < pieces; piece++) {
      values.push(x + ((nextX - x) * piece) / pieces, y + ((nextY - y) * piece) / pieces);
    }
  });
  return { points: Float32Array.from(values), ends: Int32Array.of(values.length / 2) };
}
