/** The parts of the untyped npm package `safetensors` that are used here. */
declare module 'safetensors' {
  interface HeaderEntry {
    dtype: string;
    shape: number[];
    /** Byte positions in the file, header included. */
    data_offsets: number[];
  }
  interface ParsedFile {
    readonly metadata: ReadonlyMap<string, HeaderEntry>;
  }
  const safetensors: {
    /** Parses the header at the start of a buffer that begins at offset 0 of its ArrayBuffer. */
    SafeTensor: new (file: Uint8Array) => ParsedFile;
  };
  export default safetensors;
}
