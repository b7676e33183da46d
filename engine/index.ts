/** The compute engine: devices, tensors and operations. */
export { type AdapterOptions, type AdapterSummary, listAdapters } from './adapters.js';
export { backward, checkpoint } from './autograd.js';
export type { CommandCounts } from './commands.js';
export { Device } from './device.js';
export * from './errors.js';
export { noGrad } from './graph.js';
export type { MemoryUsage } from './memory.js';
export * from './modules/index.js';
export { type DeviceOptions, openDevice } from './open_device.js';
export * from './operations/index.js';
export { AdamW, type AdamWOptions } from './optimizers/adamw.js';
export {
  type GradientControl,
  type GradientControlOptions,
  controlGradients,
} from './optimizers/gradient_control.js';
export { Muon, type MuonOptions } from './optimizers/muon.js';
export { type OptimizedGroup, Optimizer } from './optimizers/optimizer.js';
export { moveTowards } from './optimizers/moving_average.js';
export { measurePeakFlops } from './peak.js';
export { RandomGenerator, type RandomState } from './random.js';
export { Recording } from './recording.js';
export { type HostData, Tensor, type TensorData, type TensorDevice } from './tensor.js';
export { type Tuning, choicesFor, parseTuning } from './tuning.js';
export {
  type Activation,
  type AdapterTraits,
  type Cost,
  type Dtype,
  type RandomStream,
  quantizedBlock,
} from '../kernels/index.js';
