import { create } from 'webgpu';

/** What devices are made from must outlive them. */
let backend: GPU | undefined;

/** A device of Dawn's backend that only compiles: it has every feature. */
export async function nullDevice(): Promise<GPUDevice> {
  backend ??= create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
  const adapter = (await backend.requestAdapter())!;
  const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];
  return adapter.requestDevice({ requiredFeatures: features as GPUFeatureName[] });
}
