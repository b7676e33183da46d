import type { NormalizedImage } from '../model/index.js';
import { type Checkpoint, type StoredDtype, openCheckpoint } from '../weights/index.js';
import { UsageError } from './errors.js';
import type { Fault } from './inputs.js';
import type { NamedImage } from './load_images.js';

const floats = ['f32', 'f16', 'bf16'] as const satisfies readonly StoredDtype[];

/** Images that another program has normalised: tensor `images` `[n, 3, height, width]` of a safetensors file. */
export class PixelsFile {
  private constructor(
    private readonly file: Checkpoint,
    readonly count: number,
    private readonly imageShape: readonly number[],
  ) {}

  /** @throws CheckpointError or UsageError in one line when there is no such tensor */
  static async open(path: string): Promise<PixelsFile> {
    const file = await openCheckpoint(path);
    const { shape, dtype } = file.tensors.get('images') ?? {};
    if (shape?.length !== 4 || shape[1] !== 3 || shape.some((size) => size === 0)) {
      await file.close();
      const found = shape ? `its tensor images is [${shape.join(',')}]` : 'it has no tensor images';
      throw new UsageError(`${file.name}: ${found}; --pixels expects images [n,3,height,width].`);
    }
    if (!floats.some((float) => float === dtype)) {
      await file.close();
      throw new UsageError(
        `${file.name}: its tensor images is ${dtype}, which holds no normalised values; --pixels expects ` +
          `${floats.join(', ')}. Give pixels of 0 to 255 as image files.`,
      );
    }
    return new PixelsFile(file, shape[0]!, shape.slice(1));
  }

  /**
   * @param taker what the images are for, as messages name it
   * @throws UsageError when the images are not of its size, `[height, width]`
   */
  checkSize([height, width]: readonly [number, number], taker = 'this model'): void {
    const [, ownHeight, ownWidth] = this.imageShape;
    if (ownHeight !== height || ownWidth !== width) {
      throw new UsageError(
        `${this.file.name}: images are ${ownHeight}x${ownWidth}; ${taker} takes ${height}x${width}.`,
      );
    }
  }

  /** The images one after another, named `images[0]` and so on; one with NaN or infinity in it is a fault. */
  async *images(): AsyncGenerator<NamedImage<NormalizedImage> | Fault, void> {
    const size = this.imageShape.reduce((product, side) => product * side, 1);
    let current = new Float32Array(size);
    let filled = 0;
    let index = 0;
    for await (const { values } of this.file.readChunks('images')) {
      for (let at = 0; at < values.length;) {
        const taken = values.subarray(at, at + size - filled);
        current.set(taken, filled);
        filled += taken.length;
        at += taken.length;
        if (filled < size) continue;
        const name = `images[${index}]`;
        if (current.every(Number.isFinite)) yield { name, image: { normalized: current } };
        else yield { name, reason: 'has values that are not finite numbers' };
        current = new Float32Array(size);
        filled = 0;
        index += 1;
      }
    }
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}
