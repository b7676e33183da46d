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
