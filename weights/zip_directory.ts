/** Where the members of a zip archive lie. Needs Node: `yauzl` is built on its streams. */
import yauzl, { type Entry, type ZipFile } from 'yauzl';
import type { ByteSource } from './byte_source.js';
import { CheckpointError, shownName } from './errors.js';

export interface ZipMember {
  readonly name: string;
  /** Of the member's data in the archive. */
  readonly offset: number;
  /** Bytes in the archive. */
  readonly size: number;
  readonly compressed: boolean;
}

/** A Lightning checkpoint of a large model has about 2,500. */
const MOST_MEMBERS = 100_000;

class SourceReader extends yauzl.RandomAccessReader {
  constructor(private readonly source: ByteSource) {
    super();
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.source.read(position, length).then((bytes) => {
      buffer.set(bytes, offset);
      callback(null);
    }, callback);
  }
}

/** Lists an archive's members by name. */
export async function readZipDirectory(source: ByteSource): Promise<Map<string, ZipMember>> {
  const members = new Map<string, ZipMember>();
  try {
    const zip = await yauzl.fromRandomAccessReaderPromise(new SourceReader(source), source.size, {
      autoClose: false,
    });
    for await (const entry of zip.eachEntry()) {
      if (members.size >= MOST_MEMBERS)
        throw new CheckpointError(source.name, `has more than ${MOST_MEMBERS} members`);
      const member = await locateMember(source, zip, entry);
      if (members.has(member.name)) {
        throw new CheckpointError(source.name, `has two members named ${shownName(member.name)}`);
      }
      members.set(member.name, member);
    }
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CheckpointError(source.name, `is no readable zip archive: ${reason}`, { cause: error });
  }
  assertNoOverlap(source, members);
  return members;
}

async function locateMember(source: ByteSource, zip: ZipFile, entry: Entry): Promise<ZipMember> {
  const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
  const size = entry.compressedSize;
  if (fileDataStart + size > source.size) {
    throw new CheckpointError(
      source.name,
      `member ${shownName(entry.fileName)} reaches beyond the end of the file; it is truncated`,
    );
  }
  const compressed = entry.compressionMethod !== 0 || entry.isEncrypted();
  return { name: entry.fileName, offset: fileDataStart, size, compressed };
}

/** Members that share bytes let a small file describe any amount of data. */
function assertNoOverlap(source: ByteSource, members: ReadonlyMap<string, ZipMember>): void {
  const ordered = [...members.values()].sort((a, b) => a.offset - b.offset || a.size - b.size);
  ordered.reduce(
    (previous, member) => {
      if (member.offset < previous.offset + previous.size) {
        throw new CheckpointError(
          source.name,
          `members ${shownName(previous.name)} and ${shownName(member.name)} share bytes`,
        );
      }
      return member;
    },
    { name: '', offset: 0, size: 0, compressed: false },
  );
}

/**
 * A member's place. Compressed ones are refused: PyTorch writes pickles and tensors as they are, so that nothing is
 * ever decompressed and a zip bomb has nothing to burst.
 */
export function storedMember(
  source: ByteSource,
  members: ReadonlyMap<string, ZipMember>,
  name: string,
): ZipMember {
  const member = members.get(name);
  if (!member) throw new CheckpointError(source.name, `has no member ${shownName(name)}`);
  if (member.compressed) {
    throw new CheckpointError(
      source.name,
      `member ${shownName(name)} is compressed or encrypted; PyTorch writes it as it is. Save the file again with torch.save.`,
    );
  }
  return member;
}
