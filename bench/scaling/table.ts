/** Tables of how cost grows, and where it jumps. */
import { type Pass, type ScalingAxis, type ScalingPoint, passes } from './run.js';

/** Share of the speed at the size before below which a size is called a cliff. */
const cliffBelow = 0.75;

export const scalingHead = [
  'forward ms',
  'GFLOP/s',
  'training ms',
  'GFLOP/s',
  'memory MB',
  'dispatches',
] as const;

/** A line a size: what {@link scalingHead} names, after the size itself. */
export function scalingRows({ axis, points }: ScalingAxis): string[][] {
  return points.map((point, place) => {
    const before = points[place - 1];
    const cells = passes.flatMap((pass) => {
      const { fastestMs, flopsPerSecond } = point.times[pass];
      const mark = before && isCliff(before, point, pass) ? ' !' : '';
      return [fastestMs.toFixed(fastestMs < 10 ? 2 : 1), `${(flopsPerSecond / 1e9).toFixed(1)}${mark}`];
    });
    return [
      String(point.sizes[axis]),
      ...cells,
      (point.peakBytes / 1e6).toFixed(1),
      String(point.times.training.dispatches),
    ];
  });
}

/** Whether the work is done much slower than at the size before: time jumps where the work does not. */
export function isCliff(before: ScalingPoint, point: ScalingPoint, pass: Pass): boolean {
  return point.times[pass].flopsPerSecond < cliffBelow * before.times[pass].flopsPerSecond;
}
