import sharp, { type Metadata, type Sharp } from 'sharp';
import type { RgbImage } from './rgb_image.js';

/** Images with more pixels are refused before they are decoded: they would need gigabytes. */
export const maximumPixels = 64 * 1024 * 1024;
const maximumSeconds = 60;

/** First bytes of the files that are decoded; `.` stands for any byte. Anything else never reaches the decoder. */
const signatures: readonly RegExp[] = [
  /^\xff\xd8\xff/, // JPEG
  /^\x89PNG\r\n/,
  /^GIF8/,
  /^RIFF.{4}WEBP/s,
  /^(?:II\*|MM.\*|II\+)/s, // TIFF and BigTIFF
  /^.{4}ftyp/s, // AVIF
];

/**
 * Decodes an image file as Pillow's `Image.open(file).convert('RGB')` does: the EXIF rotation is ignored, alpha dropped
 * without compositing, 16-bit grey clipped to 8 bits, CMYK converted without a profile; embedded colour profiles are not
 * applied. Only the first frame is read. Unlike there, transparent pixels of a GIF are black. Needs Node: a browser decodes by its own means.
 *
 * @param bytes content of a JPEG, PNG, WebP, GIF, TIFF or AVIF file.
 * @throws Error if the bytes are no such image, damaged, or have more than {@link maximumPixels} pixels.
 */
export async function decodeImage(bytes: Uint8Array): Promise<RgbImage> {
  if (bytes.length === 0) throw new Error('the image is empty (0 bytes).');
  const start = String.fromCharCode(...bytes.subarray(0, 16));
  if (!signatures.some((signature) => signature.test(start))) {
    throw new Error('not an image: expected JPEG, PNG, WebP, GIF, TIFF or AVIF.');
  }
  // Looking at the header is not limited, so that the refusal can say what is wrong.
  const metadata = await sharp(bytes, { limitInputPixels: false }).metadata().catch(failDecoding);
  checkSize(metadata);
  if (metadata.space === 'cmyk') return await decodeCmyk(bytes).catch(failDecoding);
  if (metadata.space === 'grey16' && metadata.channels === 1)
    return await decodeGrey16(bytes).catch(failDecoding);
  return await decodeRgb(bytes).catch(failDecoding);
}

/** The decoder collects messages in one place, so that of several some may be another image's. */
function failDecoding(error: unknown): never {
  const reason = error instanceof Error ? error.message.trim() : '';
  const told = /^[\x20-\x7e]{1,200}$/.test(reason) && !/unknown error/i.test(reason) ? ` (${reason})` : '';
  throw new Error(`the image cannot be decoded: it may be damaged or truncated${told}.`, { cause: error });
}

function open(bytes: Uint8Array): Sharp {
  return sharp(bytes, { failOn: 'truncated', ignoreIcc: true, limitInputPixels: maximumPixels }).timeout({
    seconds: maximumSeconds,
  });
}

function checkSize({ width, height }: Metadata): void {
  if (width * height > maximumPixels) {
    throw new Error(
      `the image has ${width} x ${height} pixels; at most ${maximumPixels} are read. Shrink or crop it first.`,
    );
  }
}

async function decodeRgb(bytes: Uint8Array): Promise<RgbImage> {
  const { data, info } = await open(bytes).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new Error(`${info.channels} colour channels; expected 3.`);
  return {
    width: info.width,
    height: info.height,
    data: new Uint8Array(data.buffer, data.byteOffset, data.length),
  };
}

/** Pillow clips these to 255 where others scale them down, so most come out white. */
async function decodeGrey16(bytes: Uint8Array): Promise<RgbImage> {
  const { data, info } = await open(bytes)
    .toColourspace('grey16')
    .raw({ depth: 'ushort' })
    .toBuffer({ resolveWithObject: true });
  const levels = new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
  const pixels = new Uint8Array(levels.length * 3);
  for (const [index, level] of levels.entries()) pixels.fill(Math.min(level, 255), index * 3, index * 3 + 3);
  return { width: info.width, height: info.height, data: pixels };
}

async function decodeCmyk(bytes: Uint8Array): Promise<RgbImage> {
  const { data, info } = await open(bytes)
    .pipelineColourspace('cmyk')
    .toColourspace('cmyk')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const pixels = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const light = 255 - data[pixel * channels + 3]!;
    for (let channel = 0; channel < 3; channel++) {
      // Pillow's rounded division of a product by 255.
      const product = data[pixel * channels + channel]! * light + 128;
      pixels[pixel * 3 + channel] = light - (((product >> 8) + product) >> 8);
    }
  }
  return { width, height, data: pixels };
}
