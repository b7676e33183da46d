/** Images in pages of HTML, which need nothing beside them. */
import sharp from 'sharp';
import { decodeImage } from '../model/decode_image.js';

/** Within which images are shown, in pixels. */
const THUMBNAIL = { width: 240, height: 96 } as const;

/**
 * An `<img>` with a small copy of an image in it.
 * @param image content of an image file
 * @throws Error in one line for what is no image
 */
export async function thumbnail(image: Uint8Array): Promise<string> {
  const { width, height, data } = await decodeImage(image);
  const jpeg = await sharp(data, { raw: { width, height, channels: 3 } })
    .resize({ ...THUMBNAIL, fit: 'inside', withoutEnlargement: true })
    .jpeg({ quality: 85 })
    .toBuffer();
  return `<img alt="" src="data:image/jpeg;base64,${jpeg.toString('base64')}">`;
}
