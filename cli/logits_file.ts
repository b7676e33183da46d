import type { PositionRows, Reading } from '../model/index.js';
import { type WritableTensor, writeSafetensors } from '../weights/index.js';

/**
 * Collects the logits of readings and writes them as one safetensors file: `logits`, and of CLIP4STR `visual_logits`,
 * both `[images, positions, classes]` f32. Positions that were not computed are NaN; the names of the images stand in
 * the metadata as `files`.
 */
export class LogitsFile {
  private readonly files: string[] = [];
  private readonly logits: PositionRows[] = [];
  private readonly visualLogits: PositionRows[] = [];

  /** @param positions that every image is given, computed or not */
  constructor(
    private readonly positions: number,
    private readonly classes: number,
  ) {}

  add(file: string, { logits, visualLogits }: Reading): void {
    this.files.push(file);
    this.logits.push(logits!);
    if (visualLogits) this.visualLogits.push(visualLogits);
  }

  /** Writes the file, whole or not at all. */
  async write(path: string): Promise<void> {
    const tensors = [this.tensor('logits', this.logits)];
    if (this.visualLogits.length > 0) tensors.push(this.tensor('visual_logits', this.visualLogits));
    await writeSafetensors(path, tensors, { files: JSON.stringify(this.files) });
  }

  private tensor(name: string, images: readonly PositionRows[]): WritableTensor {
    const size = this.positions * this.classes;
    return {
      name,
      dtype: 'f32',
      shape: [images.length, this.positions, this.classes],
      read() {
        const values = new Float32Array(images.length * size).fill(NaN);
        images.forEach((image, index) => values.set(image.values, index * size));
        return values;
      },
    };
  }
}
