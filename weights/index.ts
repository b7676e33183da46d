/** Checkpoint files: formats, naming conventions, writing, downloads. */
export { BlobSource, MemorySource, type ByteSource } from './byte_source.js';
export { CATALOGUE, findPublished, type PublishedCheckpoint } from './catalogue.js';
export {
  differencesText,
  parameterDifferences,
  requireParameters,
  type ParameterDifferences,
} from './check.js';
export type { Checkpoint, CheckpointFormat, F32Chunk, StoredTensor } from './checkpoint.js';
export { defaultCheckpoint } from './default_checkpoint.js';
export {
  defaultCacheFolder,
  download,
  downloadPublished,
  type DownloadOptions,
  type DownloadProgress,
} from './download.js';
export type { StoredArray, StoredDtype } from './dtypes.js';
export { CheckpointError } from './errors.js';
export { FileSource } from './file_source.js';
export { f32FromHalf, halfBits, halfFromF32 } from './half.js';
export { isRoundedToHalf, roundToHalf, withClipRounding } from './half_policy.js';
export type { Convention, Family } from './names.js';
export { makeFolder, outputTarget } from './output_target.js';
export { openParameters } from './open_parameters.js';
export { checkpointFiles, openCheckpoint, runStateEnding } from './open_path.js';
export { openCheckpointSource } from './open_source.js';
export { parametersOf, type ParameterInfo, type ParameterSource } from './parameters.js';
export { writeSafetensors, type WritableTensor } from './safetensors_writer.js';
export { writeWholeFile } from './whole_file.js';
