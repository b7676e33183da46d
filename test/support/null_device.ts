import { create } from 'webgpu';

/** Dawn's backend that only compiles: it has every feature. What it is made from must outlive it. */
export async function nullDevice(): Promise<{ instance: GPU; gpu: GPUDevice }> {
  const instance = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
  const adapter = (await instance.requestAdapter())!;
  const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];
  const gpu = await adapter.requestDevice({ requiredFeatures: features as GPUFeatureName[] });
  return { instance, gpu };
}
