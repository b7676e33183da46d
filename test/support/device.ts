import { afterAll, afterEach, beforeAll } from '@jest/globals';
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
  let shared: SharedDevice | undefined;
  beforeAll(() => {
    shared = shareDevice(device());
  });
  afterEach(() => shared?.check());
  afterAll(() => shared?.close());
  return () => Promise.resolve(device());
}

interface SharedDevice {
  /** @throws Error for what was left on the device, once */
  readonly check: () => void;
  /** Closes the device itself. */
  readonly close: () => void;
}

/**
 * Makes a device outlive what closes it. What that leaves on it is for `check` to tell: thrown out of `close`, it would hide
 * the error that work has ended by.
 */
export function shareDevice(device: Device): SharedDevice {
  const close = device.close.bind(device);
  let [left, told] = [0, 0];
  device.close = () => {
    left = device.memory.liveBytes;
  };
  const check = (): void => {
    const bytes = left - told;
    told = left;
    if (bytes > 0) throw new Error(`a training has left ${bytes} bytes on its device`);
  };
  return { check, close };
}
