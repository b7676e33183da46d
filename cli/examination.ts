/** What `doctor` finds out about a machine. */
import { type AdapterSummary, type Device, listAdapters, openDevice } from '../engine/index.js';
import { Clip4Str } from '../model/index.js';
import { planDriverInstall, shellLine } from './driver_plan.js';
import { describeError } from './errors.js';
import { machineFacts, systemName } from './machine.js';
import { deviceOptions } from './options.js';
import { ownVersion, versionOf } from './package.js';
import { type SelfTestResult, runSelfTest } from './self_test.js';
import { testImage, testImageText } from './test_image.js';

export interface Problem {
  /** Whether nothing can be read because of it. */
  readonly fatal: boolean;
  readonly problem: string;
  /** What to do about it. */
  readonly advice: string;
}

export interface DeviceReport {
  readonly adapter: AdapterSummary;
  readonly vendor: string;
  readonly architecture: string;
  /** What the driver says of itself. */
  readonly driver: string;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly f16: boolean;
  /** Lanes of a subgroup; 0 where they are not the same everywhere. */
  readonly subgroupSize: number;
  readonly matrixConfigurations: number;
}

export interface ModelReport {
  readonly checkpoint: string;
  readonly text: string;
  readonly expected: string;
  readonly confidence: number;
  readonly loadMilliseconds: number;
  /** Of the second reading: the first also compiles the kernels. */
  readonly readMilliseconds: number;
}

export interface Examination {
  readonly version: string;
  readonly system: string;
  readonly node: string;
  readonly packages: Readonly<Record<string, string | null>>;
  readonly adapters: readonly AdapterSummary[];
  readonly device: DeviceReport | null;
  readonly selfTest: readonly SelfTestResult[];
  readonly model: ModelReport | null;
  readonly problems: readonly Problem[];
  readonly usable: boolean;
}

const packages = ['webgpu', 'sharp', 'safetensors', 'pickleparser', 'yauzl'];
const limits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupsPerDimension',
] as const;

/** Looks at everything that reading needs, and goes on as far as it can. */
export async function examine(wanted: string | undefined): Promise<Examination> {
  const problems: Problem[] = [];
  const fatal = (problem: string, advice: string): void =>
    void problems.push({ fatal: true, problem, advice });
  const adapters = await attempt(
    () => listAdapters(deviceOptions(wanted)),
    (reason) => fatal(reason, installAdvice),
  );
  if (adapters?.length === 0) fatal('there is no WebGPU adapter', driverAdvice());
  const device = adapters?.length
    ? await attempt(
        () => openDevice(deviceOptions(wanted)),
        (reason) => fatal(`no device can be opened: ${reason}`, 'Choose another with --device.'),
      )
    : undefined;
  const selfTest: SelfTestResult[] = [];
  let model: ModelReport | undefined;
  if (device) {
    try {
      problems.push(...shortcomings(device, adapters!));
      selfTest.push(...(await runSelfTest(device)));
      problems.push(...selfTest.filter(({ passed }) => !passed).map(failedTest));
      model = await attempt(
        () => tryModel(device),
        (reason) => fatal(`the included model does not work: ${reason}`, reportAdvice),
      );
      if (model && model.text !== model.expected) {
        fatal(`the test image was read as "${model.text}", not "${model.expected}"`, reportAdvice);
      }
    } finally {
      device.close();
    }
  }
  return {
    version: ownVersion(),
    system: systemName(),
    node: process.version,
    packages: Object.fromEntries(packages.map((name) => [name, versionOf(name) ?? null])),
    adapters: adapters ?? [],
    device: device ? deviceReport(device) : null,
    selfTest,
    model: model ?? null,
    problems,
    usable: !problems.some((one) => one.fatal),
  };
}

const installAdvice = 'Install the packages again: npm install.';
const reportAdvice =
  'Bring the graphics driver up to date, or compute on another adapter with --device; if it stays, report it with the output of doctor --json.';

async function attempt<T>(
  work: () => Promise<T>,
  onFailure: (reason: string) => void,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    onFailure(describeError(error));
    return undefined;
  }
}

function driverAdvice(): string {
  const plan = planDriverInstall(machineFacts());
  if (plan.kind === 'none') return plan.message;
  return [
    "Where there is a GPU, install its maker's Vulkan driver. A driver that computes on the CPU comes with:",
    ...plan.commands.map(shellLine),
  ].join('\n');
}

/** What works, but could be better. */
function shortcomings(device: Device, adapters: readonly AdapterSummary[]): Problem[] {
  const found: Problem[] = [];
  const gpu = adapters.find(({ software }) => !software);
  if (device.adapter.software) {
    found.push({
      fatal: false,
      problem: `${device.adapter.name} computes on the CPU, which is slow`,
      advice: gpu
        ? `Use the GPU: --device ${gpu.index} (${gpu.name}).`
        : 'Where this machine has a GPU, install the Vulkan driver of its maker.',
    });
  }
  if (!device.traits.f16) {
    found.push({
      fatal: false,
      problem: 'the adapter has no f16, so weights take twice the memory',
      advice: 'Use --precision f32, which is the default; a newer driver may bring it.',
    });
  }
  return found;
}

function failedTest({ operation, dtype, error, tolerance, failure }: SelfTestResult): Problem {
  return {
    // Everything is read in f32 unless f16 is asked for.
    fatal: dtype === 'f32',
    problem: `${operation} in ${dtype} is wrong: ${failure ?? `error ${error.toExponential(1)}, at most ${tolerance} is right`}`,
    advice: dtype === 'f16' ? 'Use --precision f32.' : reportAdvice,
  };
}

function deviceReport({ adapter, info, gpu, traits }: Device): DeviceReport {
  return {
    adapter,
    vendor: info.vendor,
    architecture: info.architecture,
    driver: info.description,
    features: [...gpu.features].sort(),
    limits: Object.fromEntries(limits.map((name) => [name, gpu.limits[name]])),
    f16: traits.f16,
    subgroupSize: traits.subgroupSize,
    matrixConfigurations: matrixConfigurations(info),
  };
}

/** Kinds of products that the adapter's matrix units can compute; an extension of Dawn's. */
function matrixConfigurations(info: GPUAdapterInfo): number {
  const { subgroupMatrixConfigs } = info as { subgroupMatrixConfigs?: readonly unknown[] };
  return subgroupMatrixConfigs?.length ?? 0;
}

async function tryModel(device: Device): Promise<ModelReport> {
  const startedAt = performance.now();
  const reader = await Clip4Str.load(device);
  const loadMilliseconds = performance.now() - startedAt;
  await reader.read([testImage()]);
  const [reading] = await reader.read([testImage()]);
  reader.dispose();
  return {
    checkpoint: reader.checkpointName,
    text: reading!.text,
    expected: testImageText,
    confidence: reading!.confidence,
    loadMilliseconds,
    readMilliseconds: reading!.milliseconds,
  };
}
