import { deflateSync } from 'node:zlib';

/** Colour types of the PNG standard. */
export const pngColour = { grey: 0, rgb: 2, palette: 3, greyAlpha: 4, rgba: 6 } as const;

interface PngOptions {
  width: number;
  height: number;
  bitDepth: number;
  colourType: number;
  /** Packed samples, row by row, without filter bytes. */
  samples: Uint8Array;
  /** Further chunks between header and pixels. */
  chunks?: readonly { type: string; data: Uint8Array }[];
}

/** A PNG file made byte by byte, so that tests reach every mode. */
export function pngFile({
  width,
  height,
  bitDepth,
  colourType,
  samples,
  chunks = [],
}: PngOptions): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = bitDepth;
  header[9] = colourType;
  const rowBytes = samples.length / height;
  const filtered = Buffer.concat(
    Array.from({ length: height }, (_, row) =>
      Buffer.concat([Buffer.from([0]), samples.subarray(row * rowBytes, (row + 1) * rowBytes)]),
    ),
  );
  return Uint8Array.from(
    Buffer.concat([
      Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
      pngChunk('IHDR', header),
      ...chunks.map(({ type, data }) => pngChunk(type, data)),
      pngChunk('IDAT', deflateSync(filtered)),
      pngChunk('IEND', Buffer.alloc(0)),
    ]),
  );
}

function pngChunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** Photometric interpretations of the TIFF standard. */
export const tiffPhotometric = { blackIsZero: 1, cmyk: 5 } as const;

interface TiffOptions {
  width: number;
  height: number;
  bitsPerSample: number;
  samplesPerPixel: number;
  photometric: number;
  /** Packed little-endian samples, row by row. */
  samples: Uint8Array;
}

/** An uncompressed little-endian TIFF file. */
export function tiffFile(options: TiffOptions): Uint8Array {
  const { width, height, bitsPerSample, samplesPerPixel, photometric, samples } = options;
  const entries = [
    [256, 4, 1, width],
    [257, 4, 1, height],
    [258, 3, samplesPerPixel, bitsPerSample],
    [259, 3, 1, 1],
    [262, 3, 1, photometric],
    [273, 4, 1, 0],
    [277, 3, 1, samplesPerPixel],
    [278, 4, 1, height],
    [279, 4, 1, samples.length],
  ] as const;
  const directoryBytes = 2 + entries.length * 12 + 4;
  const bitsOffset = 8 + directoryBytes;
  const pixelsOffset = bitsOffset + samplesPerPixel * 2;
  const file = Buffer.alloc(pixelsOffset + samples.length);
  file.write('II*\0', 'latin1');
  file.writeUInt32LE(8, 4);
  file.writeUInt16LE(entries.length, 8);
  for (const [index, [tag, type, count, value]] of entries.entries()) {
    const at = 10 + index * 12;
    file.writeUInt16LE(tag, at);
    file.writeUInt16LE(type, at + 2);
    file.writeUInt32LE(count, at + 4);
    const stored = tag === 273 ? pixelsOffset : count > 2 ? bitsOffset : value;
    file.writeUInt32LE(stored, at + 8);
  }
  for (let sample = 0; sample < samplesPerPixel; sample++) {
    file.writeUInt16LE(bitsPerSample, bitsOffset + sample * 2);
  }
  file.set(samples, pixelsOffset);
  return Uint8Array.from(file);
}
