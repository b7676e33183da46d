/**
 * PyTorch's zip format since 1.6 and TorchScript archives: one folder with `data.pkl`, and each storage's bytes as
 * the member `data/<key>`. TorchScript adds `constants.pkl` and `code/`, neither of which is read.
 */
import type { ByteSource } from './byte_source.js';
import type { Checkpoint } from './checkpoint.js';
import { bytesPerElement } from './dtypes.js';
import { CheckpointError, shownName } from './errors.js';
import { LARGEST_PICKLE_BYTES, PickleStream } from './pickle.js';
import { checkpointOfPickle } from './pytorch_state.js';
import { readZipDirectory, storedMember, type ZipMember } from './zip_directory.js';

export async function openPyTorchZip(source: ByteSource): Promise<Checkpoint> {
  const members = await readZipDirectory(source);
  const pickleName = [...members.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (!pickleName)
    throw new CheckpointError(source.name, 'is a zip archive without data.pkl, so not of PyTorch');
  const pickle = storedMember(source, members, pickleName);
  if (pickle.size > LARGEST_PICKLE_BYTES) {
    throw new CheckpointError(
      source.name,
      `has a pickle of ${pickle.size} bytes; at most ${LARGEST_PICKLE_BYTES} are accepted`,
    );
  }
  const folder = pickle.name.slice(0, -'data.pkl'.length);
  await assertLittleEndian(source, members.get(`${folder}byteorder`));
  const format = members.has(`${folder}constants.pkl`) ? 'torchscript' : 'pytorch';
  const bytes = await source.read(pickle.offset, pickle.size);
  const root = new PickleStream(source.name, bytes, pickle.offset).next(format === 'torchscript');
  return checkpointOfPickle(source, format, root, (storage) => {
    const member = storedMember(source, members, `${folder}data/${storage.key}`);
    const needed = storage.elements * bytesPerElement(storage.dtype);
    if (member.size < needed) {
      throw new CheckpointError(
        source.name,
        `${shownName(member.name)} has ${member.size} bytes, but ${needed} are needed`,
      );
    }
    return member.offset;
  });
}

async function assertLittleEndian(source: ByteSource, member: ZipMember | undefined): Promise<void> {
  if (!member || member.size > 16) return;
  if (new TextDecoder().decode(await source.read(member.offset, member.size)) === 'big') {
    throw new CheckpointError(source.name, 'was written on a big-endian machine; save it again on another');
  }
}
