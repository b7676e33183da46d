/** What pages of HTML that show images have in common. They need nothing beside them and run no scripts of others. */
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

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text that means itself in HTML; control characters, which have no place there, become a sign that stands for them. */
export function escapeHtml(text: string): string {
  return text.replace(/[^\P{Cc}\t\n]/gu, '\ufffd').replace(/[&<>"']/g, (character) => entities[character]!);
}
