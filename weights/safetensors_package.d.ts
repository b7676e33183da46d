/** The parts of the untyped npm package `safetensors` that are used here. */
declare module 'safetensors' {
  interface HeaderEntry {
    dtype: unknown;
    shape: unknown;
    /** Byte positions in the file, header included. */
    data_offsets: number[];
  }
  /** Parses the header at the start of the buffer, which must begin at offset 0 of its ArrayBuffer. */
  class SafeTensor {
    constructor(file: Uint8Array);
    readonly metadata: ReadonlyMap<string, HeaderEntry>;
  }
  const safetensors: { SafeTensor: typeof SafeTensor };
  export default safetensors;
}
