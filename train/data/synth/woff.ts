/** Unpacks WOFF 1.0 files (W3C), once, where fontkit would unpack a table again at every use of it. */
import { inflateSync } from 'node:zlib';

const signature = 0x774f4646;
const headerBytes = 44;
const entryBytes = 20;
const sfntHeaderBytes = 12;
const sfntEntryBytes = 16;
const mostTables = 256;
const largestFontBytes = 64 * 2 ** 20;

export function isWoff(bytes: Buffer): boolean {
  return bytes.length >= headerBytes && bytes.readUInt32BE(0) === signature;
}

/**
 * The TrueType or OpenType font in a WOFF file.
 * @throws Error if it is damaged or unpacks to more than 64 MB
 */
export function unpackWoff(woff: Buffer): Buffer<ArrayBuffer> {
  const count = woff.readUInt16BE(12);
  if (count > mostTables || headerBytes + count * entryBytes > woff.length)
    throw new Error('damaged WOFF header');
  const directory = Buffer.alloc(sfntHeaderBytes + count * sfntEntryBytes);
  directory.writeUInt32BE(woff.readUInt32BE(4), 0);
  directory.writeUInt16BE(count, 4);
  const parts: Uint8Array[] = [directory];
  let offset = directory.length;
  for (let index = 0; index < count; index++) {
    const entry = headerBytes + index * entryBytes;
    const [tag, start, packedBytes, bytes, checksum] = [0, 4, 8, 12, 16].map((at) =>
      woff.readUInt32BE(entry + at),
    );
    if (start! + packedBytes! > woff.length || offset + bytes! > largestFontBytes) {
      throw new Error('damaged WOFF directory');
    }
    const packed = woff.subarray(start, start! + packedBytes!);
    const table = packedBytes! < bytes! ? inflateSync(packed, { maxOutputLength: bytes! }) : packed;
    if (table.length !== bytes) throw new Error('damaged WOFF table');
    const to = sfntHeaderBytes + index * sfntEntryBytes;
    [tag!, checksum!, offset, bytes].forEach((value, field) =>
      directory.writeUInt32BE(value, to + 4 * field),
    );
    const padding = Buffer.alloc(-bytes & 3);
    parts.push(table, padding);
    offset += bytes + padding.length;
  }
  return Buffer.concat(parts);
}
