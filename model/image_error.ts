/** An image that gives no reading: its bytes are no image, its pixels do not fit, or the model computes no numbers of it. */
export class ImageError extends Error {
  override readonly name = 'ImageError';

  constructor(
    /** Of the image among those given, from 0. */
    readonly index: number,
    /** What is wrong, without naming the image. */
    readonly reason: string,
    options?: ErrorOptions,
  ) {
    super(`image ${index + 1}: ${reason}`, options);
  }
}
