/** What is kept of programs that WebGPU refused, and whose name a refused bind group bears. */
import { describe, expect, test } from '@jest/globals';
import { type Device, ValidationError, exp, openDevice, relu } from '../engine/index.js';

async function withDevice(work: (device: Device) => Promise<void>): Promise<void> {
  const device = await openDevice({ device: 'software' });
  try {
    await work(device);
  } finally {
    device.close();
  }
}

/** Layouts are refused while `work` runs: their first binding comes twice. */
async function withRefusedLayouts({ gpu }: Device, work: () => Promise<void>): Promise<void> {
  const create = gpu.createBindGroupLayout.bind(gpu);
  gpu.createBindGroupLayout = (layout) => {
    const entries = [...layout.entries];
    return create({ ...layout, entries: [...entries, entries[0]!] });
  };
  try {
    await work();
  } finally {
    gpu.createBindGroupLayout = create;
  }
}

describe('a layout that was refused', () => {
  test('is forgotten with its program: the work is done at the next try', () =>
    withDevice(async (device) => {
      const x = device.tensor(Float32Array.of(-1, 2), [2]);
      await withRefusedLayouts(device, async () => {
        await expect(relu(x).read()).rejects.toThrow(/^relu\(f32\[2\].*previous entry/s);
      });
      expect([...(await relu(x).read())]).toEqual([0, 2]);
    }));

  test('is forgotten also where it was made beforehand', () =>
    withDevice(async (device) => {
      const x = device.tensor(Float32Array.of(-1, 2), [2]);
      await withRefusedLayouts(device, () => device.compile(() => relu(x)));
      expect([...(await relu(x).read())]).toEqual([0, 2]);
    }));
});

test('a refused bind group names the work that it is made for', () =>
  withDevice(async (device) => {
    const { gpu } = device;
    const x = device.tensor(Float32Array.of(-1, 2), [2]);
    await relu(x).read();
    const create = gpu.createBindGroup.bind(gpu);
    gpu.createBindGroup = (group) => create({ ...group, entries: [...group.entries].slice(1) });
    const y = device.tensor(Float32Array.of(1, 2, 3), [3]);
    const reading = exp(y).read();
    await expect(reading).rejects.toThrow(ValidationError);
    await expect(reading).rejects.toThrow(/exp\(f32\[3\]/);
  }));
