/**
 * Finding adapters. In a browser there is `navigator.gpu` and one adapter to be had; in Node Dawn drives every
 * adapter that the machine's drivers show, chosen by name.
 */
import { AdapterError } from './errors.js';
import { pollPatiently } from './patient_polling.js';
import { withQuietStderr } from './quiet_stderr.js';

/** An adapter that can be opened. */
export interface AdapterSummary {
  /** Position in the list, as `device` accepts it. */
  readonly index: number;
  readonly name: string;
  /** Graphics interface that Dawn reaches it through (`vulkan`, `d3d12`, `metal`), or `browser`. */
  readonly backend: string;
  /** Whether it is the CPU in disguise (lavapipe, SwiftShader, WARP). */
  readonly software: boolean;
}

export interface FoundAdapter {
  readonly summary: AdapterSummary;
  readonly adapter: GPUAdapter;
  /** What must stay referenced as long as the adapter lives: Dawn's instance is freed with its wrapper. */
  readonly instance: GPU;
}

type CreateGpu = (flags: string[]) => GPU;

/** f16 on NVIDIA's Vulkan and the memory model that its matrix units need are behind these. */
const dawnFeatures =
  'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,use_vulkan_memory_model';

const softwareNames = /llvmpipe|lavapipe|swiftshader|basic render|warp/i;

async function loadDawn(): Promise<CreateGpu> {
  try {
    const dawn = await import('webgpu');
    Object.assign(globalThis, dawn.globals);
    return dawn.create;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AdapterError(
      `the npm package "webgpu" cannot be loaded on ${process.platform}-${process.arch}: ${reason}. ` +
        'Reinstall with `npm install`; it ships binaries for Linux, macOS and Windows on x64 and arm64.',
    );
  }
}

function browserGpu(): GPU | undefined {
  return typeof navigator === 'undefined' ? undefined : (navigator as Partial<Navigator>).gpu;
}

/** How adapters are looked for. */
export interface AdapterOptions {
  /**
   * Keeps the driver's warnings off the standard error while adapters are opened. It redirects the whole process's
   * descriptor for that moment: for a command line at its start, not for a library among other threads.
   */
  readonly hideDriverWarnings?: boolean;
}

function requestAdapter(gpu: GPU, { hideDriverWarnings }: AdapterOptions): Promise<GPUAdapter | null> {
  return hideDriverWarnings ? withQuietStderr(() => gpu.requestAdapter()) : gpu.requestAdapter();
}

/** Dawn's Node binding has no list; asked for a name that nothing has, it answers with all of them. */
async function dawnAdapterNames(
  create: CreateGpu,
  options: AdapterOptions,
): Promise<{ backend: string; name: string }[]> {
  const impossible = create(['adapter=\u0001']);
  try {
    await requestAdapter(impossible, options);
    return [];
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const lines = [...message.matchAll(/backend: '([^']*)', name: '(.*)'$/gm)];
    return lines.map(([, backend, name]) => ({ backend: backend!, name: name! }));
  }
}

/** Every adapter of this machine, real GPUs first. Empty where there is none. */
export async function listAdapters(options: AdapterOptions = {}): Promise<AdapterSummary[]> {
  const gpu = browserGpu();
  if (gpu) {
    const adapter = await gpu.requestAdapter();
    return adapter ? [browserSummary(adapter)] : [];
  }
  const names = await dawnAdapterNames(await loadDawn(), options);
  return names
    .map(({ backend, name }) => ({ backend, name, software: softwareNames.test(name) }))
    .sort((a, b) => Number(a.software) - Number(b.software))
    .map((summary, index) => ({ index, ...summary }));
}

function browserSummary(adapter: GPUAdapter): AdapterSummary {
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const name = description || device || [vendor, architecture].filter(Boolean).join(' ') || 'WebGPU adapter';
  return { index: 0, name, backend: 'browser', software: isFallbackAdapter };
}

const installHint =
  'Install a Vulkan driver: the one of your GPU, or a software one ' +
  '(Debian, Ubuntu: mesa-vulkan-drivers 23 or later; Fedora: mesa-vulkan-drivers; Arch: vulkan-swrast).';

/**
 * Opens an adapter.
 * @param wanted index in {@link listAdapters}, part of a name (any case), `software`, or undefined for the first
 * @throws AdapterError that lists what there is when nothing fits
 */
export async function findAdapter(
  wanted: string | undefined,
  options: AdapterOptions,
): Promise<FoundAdapter> {
  if (wanted !== undefined && typeof wanted !== 'string') {
    throw new AdapterError(
      `device is ${JSON.stringify(wanted)}; expected a text: an index as "0", part of a name, or "software".`,
    );
  }
  const gpu = browserGpu();
  if (gpu) {
    const request: GPURequestAdapterOptions =
      wanted === 'software' ? { forceFallbackAdapter: true } : { powerPreference: 'high-performance' };
    const adapter = await gpu.requestAdapter(request);
    if (!adapter) {
      throw new AdapterError(
        wanted === 'software'
          ? 'this browser offers no software adapter: leave `device` out.'
          : 'this browser offers no WebGPU adapter: see chrome://gpu or about:support.',
      );
    }
    return { summary: browserSummary(adapter), adapter, instance: gpu };
  }

  const create = await loadDawn();
  const adapters = await listAdapters(options);
  if (adapters.length === 0) throw new AdapterError(`no WebGPU adapter found. ${installHint}`);
  const summary = chooseAdapter(adapters, wanted);
  if (summary.software) pollPatiently();
  const sameName = adapters.filter((other) => other.name === summary.name);
  const flags = [dawnFeatures, `adapter=${summary.name}`];
  if (sameName.length > 1) flags.push(`backend=${summary.backend}`);
  const instance = create(flags);
  const adapter = await requestAdapter(instance, options);
  if (!adapter) throw new AdapterError(`adapter "${summary.name}" cannot be opened. ${installHint}`);
  return { summary, adapter, instance };
}

function chooseAdapter(adapters: readonly AdapterSummary[], wanted: string | undefined): AdapterSummary {
  const matching = adapters.filter((adapter) => {
    if (wanted === undefined || wanted === '') return true;
    if (/^\d+$/.test(wanted)) return adapter.index === Number(wanted);
    if (wanted.toLowerCase() === 'software') return adapter.software;
    return adapter.name.toLowerCase().includes(wanted.toLowerCase());
  });
  const chosen = matching[0];
  if (chosen) return chosen;
  const known = adapters.map(({ index, name }) => `${index}: ${name}`).join('; ');
  const hint = wanted?.toLowerCase() === 'software' ? ` ${installHint}` : '';
  throw new AdapterError(`no adapter matches "${wanted}". There is: ${known}.${hint}`);
}
