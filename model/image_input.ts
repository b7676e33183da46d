import { kindOf } from './arguments.js';
import { ImageError } from './image_error.js';
import type { RgbImage } from './rgb_image.js';

/** An image already brought to the model's size and normalised: `[3, height, width]` f32. */
export interface NormalizedImage {
  readonly normalized: Float32Array;
}

/** An image file's bytes, decoded pixels, or a normalised image. */
export type ImageInput = Uint8Array | RgbImage | NormalizedImage;

/**
 * Decodes bytes and checks what a caller made by itself.
 * @param index of the image among those given, from 0
 * @param size `[height, width]` that a normalised image must have
 * @throws ImageError in one line
 */
export async function resolveImage(
  input: ImageInput,
  index: number,
  [height, width]: readonly [number, number],
): Promise<RgbImage | NormalizedImage> {
  const fail = (problem: string): never => {
    throw new ImageError(index, problem);
  };
  const tag = kindOf(input);
  if (tag === 'Uint8Array') {
    const { decodeImage } = await import('./decode_image.js');
    return decodeImage(input as Uint8Array).catch((error: unknown) =>
      fail(error instanceof Error ? error.message : String(error)),
    );
  }
  const given: Partial<RgbImage & NormalizedImage> = tag === 'Object' ? (input as object) : {};
  if ('normalized' in given) {
    const { normalized } = given;
    if (kindOf(normalized) !== 'Float32Array') {
      fail(`its normalized values are ${kindOf(normalized)}; give a Float32Array.`);
    }
    if (normalized.length !== 3 * height * width) {
      fail(`has ${normalized.length} normalised values; this model takes [3,${height},${width}].`);
    }
    if (!normalized.every(Number.isFinite)) fail('has normalised values that are not finite numbers.');
    return input as NormalizedImage;
  }
  if (!('data' in given)) {
    fail(
      `is ${tag}; give the bytes of an image file, decoded pixels { data, width, height }, or { normalized }.`,
    );
  }
  const { data, width: columns, height: rows } = given;
  if (!['Uint8Array', 'Uint8ClampedArray'].includes(kindOf(data))) {
    fail(`its data is ${kindOf(data)}; give a Uint8Array of 3 bytes a pixel.`);
  }
  const sized = [columns, rows].every((side) => Number.isInteger(side) && side! > 0);
  if (!sized || data!.length !== 3 * columns! * rows!) {
    fail(
      `has ${data!.length} bytes for ${columns}x${rows} pixels; expected 3 a pixel: red, green, blue, no alpha.`,
    );
  }
  return input as RgbImage;
}
