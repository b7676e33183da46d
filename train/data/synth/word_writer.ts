/** Where rendered words go. */
export interface WordWriter {
  /** Images that are there already, from an earlier run: numbers 0 to `written - 1`. */
  readonly written: number;
  /**
   * Takes the next image.
   * @param index one more than that of the image before; the first is `written`
   * @param image content of a JPEG or PNG file
   */
  write(index: number, image: Uint8Array, label: string): Promise<void>;
  /** Completes the data set. */
  finish(): Promise<void>;
  /** Ends the run before all is written: another run can go on. */
  pause(): Promise<void>;
}
