/**
 * Draws the loss of a training run, with the accuracy of its validations beside it:
 *
 *     node dist/bench/run_curve.js run/metrics.jsonl curve.svg
 */
import { writeFile } from 'node:fs/promises';
import { readMetrics } from '../train/logs/metrics_lines.js';
import { type Point, curvePicture } from './curve_picture.js';

/** Points of the curve: each is the mean of the steps between it and the one before. */
const mostPoints = 200;

const [metricsPath, picturePath] = process.argv.slice(2);
if (metricsPath === undefined || picturePath === undefined) {
  throw new Error('expected the metrics.jsonl of a run, and the file for its picture.');
}
const losses: Point[] = [];
const accuracies: { readonly images: number; readonly accuracy: number }[] = [];
for await (const { metrics } of readMetrics(metricsPath)) {
  if (metrics.kind === 'step') losses.push({ x: metrics.images, y: metrics.loss });
  else accuracies.push({ images: metrics.images, accuracy: metrics.combined.accuracy });
}
const size = Math.ceil(losses.length / mostPoints);
const points = Array.from({ length: Math.ceil(losses.length / size) }, (_, i): Point => {
  const group = losses.slice(i * size, (i + 1) * size);
  return { x: group.at(-1)!.x, y: group.reduce((sum, { y }) => sum + y, 0) / group.length };
});
const marks = accuracies.map(({ images, accuracy }) => {
  const nearest = points.find(({ x }) => x >= images) ?? points.at(-1)!;
  return { ...nearest, text: `${accuracy.toFixed(1)} %` };
});
await writeFile(
  picturePath,
  curvePicture(points, {
    caption: marks.length > 0 ? 'loss over images; accuracy on validation' : 'loss over images',
    marks,
  }),
);
