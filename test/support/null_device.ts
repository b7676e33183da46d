import { afterAll, beforeAll } from '@jest/globals';
import { create } from 'webgpu';

/** What devices are made from must outlive them. */
let backend: GPU | undefined;

/** Dawn's backend that only compiles: its adapter has every feature. */
function nullBackend(): GPU {
  return (backend ??= create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']));
}

/** A device that only compiles. */
export async function nullDevice(): Promise<GPUDevice> {
  const adapter = (await nullBackend().requestAdapter())!;
  const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];
  return adapter.requestDevice({ requiredFeatures: features as GPUFeatureName[] });
}

/** Devices are opened on the adapter that only compiles, as in a browser that has it, in a describe block. */
export function useNullAdapter(): void {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  beforeAll(() => {
    Object.defineProperty(globalThis, 'navigator', { value: { gpu: nullBackend() }, configurable: true });
  });
  afterAll(() => {
    if (before) Object.defineProperty(globalThis, 'navigator', before);
    else Reflect.deleteProperty(globalThis, 'navigator');
  });
}
