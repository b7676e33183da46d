/** The engine's adapter as `navigator.gpu`, where peers look for it. */
import { type AdapterOptions, type AdapterSummary, findAdapter } from '../../engine/adapters.js';
import { withQuietStderr } from '../../engine/quiet_stderr.js';

/** Dawn's instances. Its wrapper frees one that nothing refers to, and the process crashes with it. */
const instances: GPU[] = [];

/** An adapter as peers see it. */
export interface PeerAdapter {
  readonly summary: AdapterSummary;
  readonly gpu: GPU;
}

/**
 * Opens an adapter by name as the engine does, with the same flags.
 * @throws AdapterError where the engine would
 */
export async function peerAdapter(
  name: string | undefined,
  options: AdapterOptions = {},
): Promise<PeerAdapter> {
  const { summary, instance } = await findAdapter(name, options);
  instances.push(instance);
  if (!options.hideDriverWarnings) return { summary, gpu: instance };
  const requestAdapter = (request?: GPURequestAdapterOptions): Promise<GPUAdapter | null> =>
    withQuietStderr(() => instance.requestAdapter(request));
  return { summary, gpu: { requestAdapter } as GPU };
}

/**
 * Runs a call during which `navigator.gpu` is the adapter's. It is taken away afterwards: the engine would believe to
 * be in a browser. What else peers ask of `navigator` stays, where Node has none.
 */
export async function withNavigatorGpu<T>({ gpu }: PeerAdapter, call: () => Promise<T>): Promise<T> {
  if (typeof navigator === 'undefined') {
    const value = { userAgent: `Node.js/${process.versions.node}`, hardwareConcurrency: 1 };
    Object.defineProperty(globalThis, 'navigator', { value, configurable: true, writable: true });
  }
  Object.defineProperty(navigator, 'gpu', { value: gpu, configurable: true });
  try {
    return await call();
  } finally {
    delete (navigator as { gpu?: GPU }).gpu;
  }
}

/**
 * Awaits with a timer running. Dawn's binding asks for finished work only in turns of the event loop: one that has
 * nothing else to do sleeps, and a pipeline that another thread has compiled is never noticed.
 */
export async function awake<T>(work: Promise<T>): Promise<T> {
  const timer = setInterval(() => undefined, 1);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}

/** Runs GPU work and throws what the device finds wrong with it, which peers only print. */
export async function withErrorScopes<T>(device: GPUDevice, call: () => Promise<T>): Promise<T> {
  device.pushErrorScope('out-of-memory');
  device.pushErrorScope('validation');
  const [outcome] = await Promise.allSettled([call()]);
  const found = [await device.popErrorScope(), await device.popErrorScope()].find((error) => error);
  if (outcome.status === 'rejected') throw outcome.reason;
  if (found) throw new Error(found.message);
  return outcome.value;
}
