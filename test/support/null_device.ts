import { afterAll, beforeAll, expect } from '@jest/globals';
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

/** Bytes of every array in workgroup memory. */
function workgroupBytes(source: string): number {
  const bytes = { f16: 2, f32: 4 };
  const arrays = [...source.matchAll(/var<workgroup>\s+\w+:\s*array<(f16|f32), (\d+)>/g)];
  expect(arrays.length).toBe(source.match(/var<workgroup>/g)!.length);
  return arrays.reduce((total, [, type, count]) => total + bytes[type as 'f16' | 'f32'] * Number(count), 0);
}

/** Compiles shaders without a warning. @param mostBytes of workgroup memory */
export async function expectValidShaders(sources: Iterable<string>, mostBytes: number): Promise<void> {
  const gpu = await nullDevice();
  for (const code of sources) {
    expect(workgroupBytes(code)).toBeLessThanOrEqual(mostBytes);
    const { messages } = await gpu.createShaderModule({ code }).getCompilationInfo();
    expect(messages.map(({ message, lineNum }) => `${lineNum}: ${message}`)).toEqual([]);
  }
  gpu.destroy();
}

/** The part of an adapter that devices are opened with. */
type OpenedAdapter = Pick<GPUAdapter, 'info' | 'features' | 'limits' | 'requestDevice'>;

/**
 * Devices are opened on the adapter that only compiles, as in a browser that has it, in a describe block.
 * @param disguise makes another adapter of it
 */
export function useNullAdapter(disguise = (adapter: OpenedAdapter): OpenedAdapter => adapter): void {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  const gpu = { requestAdapter: async () => disguise((await nullBackend().requestAdapter())!) };
  beforeAll(() => {
    Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true });
  });
  afterAll(() => {
    if (before) Object.defineProperty(globalThis, 'navigator', before);
    else Reflect.deleteProperty(globalThis, 'navigator');
  });
}
