/** The compute engine: devices, tensors and operations. */
export { type AdapterOptions, type AdapterSummary, listAdapters } from './adapters.js';
export type { CommandCounts } from './commands.js';
export { Device } from './device.js';
export * from './errors.js';
export type { MemoryUsage } from './memory.js';
export { type DeviceOptions, openDevice } from './open_device.js';
export * from './operations/index.js';
export { RandomGenerator, type RandomState } from './random.js';
export { type HostData, Tensor, type TensorData, type TensorDevice } from './tensor.js';
export type { AdapterTraits, Cost, Dtype } from '../kernels/index.js';
