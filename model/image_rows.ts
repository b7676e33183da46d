import type { Device } from '../engine/index.js';
import type { PositionRows } from './reading.js';
import type { Recognition } from './recognizer.js';

/** What a model computed for one image of a batch. */
export interface ImageRows {
  readonly logits: PositionRows;
  readonly visualLogits: PositionRows | undefined;
  readonly attention: PositionRows | undefined;
}

/** Reads everything back at once and cuts it into images. */
export async function readImageRows(
  device: Device,
  { logits, visualLogits, attention }: Recognition,
  batch: number,
): Promise<ImageRows[]> {
  const tensors = [logits, ...(visualLogits ? [visualLogits] : []), ...(attention ? [attention] : [])];
  const values = (await device.readAll(tensors)) as Float32Array[];
  const rowsOf = (tensor: typeof logits | undefined, index: number): PositionRows | undefined => {
    if (!tensor) return undefined;
    const [, positions, columns] = tensor.shape as [number, number, number];
    const size = positions * columns;
    const own = values[tensors.indexOf(tensor)]!.slice(index * size, (index + 1) * size);
    return { values: own, positions, columns };
  };
  return Array.from({ length: batch }, (_, index) => ({
    logits: rowsOf(logits, index)!,
    visualLogits: rowsOf(visualLogits, index),
    attention: rowsOf(attention, index),
  }));
}
