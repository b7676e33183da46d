import type { RgbImage } from './rgb_image.js';

/** An image already brought to the model's size and normalised: `[3, height, width]` f32. */
export interface NormalizedImage {
  readonly normalized: Float32Array;
}

/** An image file's bytes, decoded pixels, or a normalised image. */
export type ImageInput = Uint8Array | RgbImage | NormalizedImage;

/**
 * Decodes bytes and checks what a caller made by itself.
 * @param label what messages call the image
 * @param size `[height, width]` that a normalised image must have
 * @throws Error in one line that starts with the label
 */
export async function resolveImage(
  input: ImageInput,
  label: string,
  [height, width]: readonly [number, number],
): Promise<RgbImage | NormalizedImage> {
  const fail = (problem: string): never => {
    throw new Error(`${label}: ${problem}`);
  };
  if (input instanceof Uint8Array) {
    const { decodeImage } = await import('./decode_image.js');
    return decodeImage(input).catch((error: unknown) =>
      fail(error instanceof Error ? error.message : String(error)),
    );
  }
  if (typeof input !== 'object' || input === null) {
    return fail(
      `is ${typeof input}; give the bytes of an image file, decoded pixels, or a normalised image.`,
    );
  }
  if ('normalized' in input) {
    const { normalized } = input;
    if (normalized.length !== 3 * height * width) {
      fail(`has ${normalized.length} normalised values; this model takes [3,${height},${width}].`);
    }
    if (!normalized.every(Number.isFinite)) fail('has normalised values that are not finite numbers.');
    return input;
  }
  const { data } = input;
  const sides = [input.width, input.height];
  if (
    !sides.every((side) => Number.isInteger(side) && side > 0) ||
    data.length !== 3 * sides[0]! * sides[1]!
  ) {
    fail(
      `has ${data.length} bytes for ${sides[0]}x${sides[1]} pixels; expected 3 a pixel: red, green, blue, no alpha.`,
    );
  }
  return input;
}
