import { afterAll, beforeAll } from '@jest/globals';
import { type Device, type DeviceOptions, openDevice } from '../../engine/index.js';

/** A device for the tests of a file, opened before them and closed after. */
export function useDevice(options: DeviceOptions = {}): () => Device {
  let device: Device | undefined;
  beforeAll(async () => {
    device = await openDevice(options);
  });
  afterAll(() => device?.close());
  return () => device!;
}

/**
 * A device that the trainings of a file share, opened before its tests and closed after: what one training has compiled
 * another need not. Each must have freed everything by the time it closes it.
 */
export function useTrainingDevice(): () => Promise<Device> {
  const device = useDevice({ device: 'software', hideDriverWarnings: true });
  let close: (() => void) | undefined;
  beforeAll(() => {
    const lasting = device();
    close = lasting.close.bind(lasting);
    lasting.close = () => {
      const { liveBytes } = lasting.memory;
      if (liveBytes > 0) throw new Error(`a training has left ${liveBytes} bytes on its device`);
    };
  });
  afterAll(() => close?.());
  return () => Promise.resolve(device());
}
