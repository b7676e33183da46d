/** Reading text from images with CLIP4STR on WebGPU. The compute engine itself is at `clip4str-engine/engine`. */
export { type AdapterSummary, Device, type DeviceOptions, listAdapters, openDevice } from './engine/index.js';
export * from './model/index.js';
export {
  type ByteSource,
  CheckpointError,
  MemorySource,
  type ParameterSource,
  defaultCheckpoint,
  downloadPublished,
  openCheckpoint,
  openParameters,
  writeSafetensors,
} from './weights/index.js';
