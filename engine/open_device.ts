import type { AdapterTraits } from '../kernels/index.js';
import { type AdapterOptions, type AdapterSummary, type FoundAdapter, findAdapter } from './adapters.js';
import { Device } from './device.js';
import { DeviceLostError } from './errors.js';
import { matrixFeature, offeredMatrixUnits, trustedUnits } from './matrix_units.js';

/** What units that multiply small matrices are used for. */
type MatrixUnitUse = 'nothing' | 'forward' | 'all';

export interface DeviceOptions extends AdapterOptions {
  /** Index in `listAdapters()`, part of an adapter's name, or `software`. Default: the first GPU, else the CPU. */
  readonly device?: string;
  /** Bytes that tensors and waiting buffers may take. Default: 70 % of the memory on a software adapter, else no limit. */
  readonly memoryBudgetBytes?: number;
  /**
   * What units that multiply small matrices are tried for when the device is opened, where the adapter has such, to be used in
   * f16 and int8. Less opens the device sooner: `forward` for work without gradients, `nothing` for work in f32. Default: `all`.
   */
  readonly matrixUnitUse?: MatrixUnitUse;
  /** Lowers the adapter's largest binding, to try how larger tensors are split. */
  readonly maxBindingBytes?: number;
}

const usefulFeatures: readonly string[] = ['shader-f16', 'subgroups', 'timestamp-query'];

const usefulLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupsPerDimension',
  'minStorageBufferOffsetAlignment',
] as const;

/** Dawn crashes when an instance is collected before what was made from it, so none ever is. */
const openInstances: GPU[] = [];

/**
 * Opens a WebGPU device: in Node through Dawn, in a browser through `navigator.gpu`.
 * @throws AdapterError that says what there is and what to do
 */
export async function openDevice(options: DeviceOptions = {}): Promise<Device> {
  const { matrixUnitUse = 'all' } = options;
  const device = await open(options, matrixUnitUse);
  const offered = offeredMatrixUnits(device.info, device.gpu);
  if (matrixUnitUse === 'nothing' || !offered) return device;
  try {
    const units = await trustedUnits(device, offered, matrixUnitUse);
    if (units) device.useMatrixUnits(units);
    return device;
  } catch (error) {
    device.close();
    if (!(error instanceof DeviceLostError)) throw error;
    // The driver fails at them altogether: another device, which is asked for less.
    return openDevice({ ...options, matrixUnitUse: matrixUnitUse === 'all' ? 'forward' : 'nothing' });
  }
}

async function open(options: DeviceOptions, matrixUnitUse: MatrixUnitUse): Promise<Device> {
  const found = await findAdapter(options.device, options);
  openInstances.push(found.instance);
  const { adapter } = found;
  const wanted = matrixUnitUse === 'nothing' ? usefulFeatures : [...usefulFeatures, matrixFeature];
  const gpu = await adapter.requestDevice({
    label: 'clip4str-engine',
    requiredFeatures: wanted.filter((feature) => adapter.features.has(feature)) as GPUFeatureName[],
    requiredLimits: Object.fromEntries(usefulLimits.map((name) => [name, adapter.limits[name]])),
  });
  const budget = options.memoryBudgetBytes ?? (await defaultBudgetBytes(found.summary));
  return new Device(gpu, {
    adapter: found.summary,
    info: adapter.info,
    traits: traitsOf(gpu, found),
    memoryBudgetBytes: budget,
    maxBindingBytes: Math.min(gpu.limits.maxStorageBufferBindingSize, options.maxBindingBytes ?? Infinity),
  });
}

async function defaultBudgetBytes(adapter: AdapterSummary): Promise<number> {
  if (!adapter.software || adapter.backend === 'browser') return Infinity;
  const { totalmem } = await import('node:os');
  // A container may have less than its machine; 0 and huge numbers mean that it has not.
  const constrained = process.constrainedMemory() || Infinity;
  return 0.7 * Math.min(totalmem(), constrained);
}

function traitsOf(gpu: GPUDevice, found: FoundAdapter): AdapterTraits {
  const { subgroupMinSize, subgroupMaxSize } = found.adapter.info;
  const fixedSubgroups = gpu.features.has('subgroups') && subgroupMinSize === subgroupMaxSize;
  return {
    subgroupSize: fixedSubgroups ? subgroupMinSize : 0,
    f16: gpu.features.has('shader-f16'),
    software: found.summary.software,
    maxWorkgroupInvocations: gpu.limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupStorageBytes: gpu.limits.maxComputeWorkgroupStorageSize,
    maxWorkgroupsPerDimension: gpu.limits.maxComputeWorkgroupsPerDimension,
    // More are no gain: shaders grow with them.
    maxBoundTensors: Math.min(16, gpu.limits.maxStorageBuffersPerShaderStage),
  };
}
