import type { RgbImage } from './rgb_image.js';

/**
 * Decodes an image file in a browser, in place of `decode_image.ts` (the `browser` field of package.json). Browsers
 * multiply colours by alpha, so transparent pixels come out black there.
 *
 * @throws Error if the browser cannot decode the bytes.
 */
export async function decodeImage(bytes: Uint8Array<ArrayBuffer>): Promise<RgbImage> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: 'none' });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`the image cannot be decoded: ${reason}`, { cause: error });
  }
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d');
  if (!context) throw new Error('this browser gives no 2D canvas to decode images with.');
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) data[3 * pixel + channel] = rgba[4 * pixel + channel]!;
  }
  return { width, height, data };
}
