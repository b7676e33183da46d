import type { ImageInput } from '../model/index.js';
import type { NamedImage } from './load_images.js';

/** Pixels that a batch may hold decoded: photographs of many megapixels go through in smaller batches. */
const MOST_PIXELS = 64 * 1024 * 1024;

/** Groups images for the device: `size` at most, fewer where they are very large. */
export async function* batchesOf(
  images: AsyncIterable<NamedImage>,
  size: number,
  mostPixels = MOST_PIXELS,
): AsyncGenerator<NamedImage[], void> {
  let batch: NamedImage[] = [];
  let pixels = 0;
  for await (const image of images) {
    const own = pixelsOf(image.image);
    if (batch.length > 0 && pixels + own > mostPixels) {
      yield batch;
      batch = [];
      pixels = 0;
    }
    batch.push(image);
    pixels += own;
    // At once: the next image may take long to come.
    if (batch.length === size) {
      yield batch;
      batch = [];
      pixels = 0;
    }
  }
  if (batch.length > 0) yield batch;
}

function pixelsOf(image: ImageInput): number {
  return 'width' in image ? image.width * image.height : 0;
}
