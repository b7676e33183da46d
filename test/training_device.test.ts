/** What tests of trainings are told of by the device that these share. */
import { expect, test } from '@jest/globals';
import { openDevice } from '../engine/index.js';
import { shareDevice } from './support/device.js';

test('what work leaves on its device is told once, and hides no error of that work', async () => {
  const device = await openDevice({ device: 'software', hideDriverWarnings: true });
  const { check, close } = shareDevice(device);
  try {
    const failing = async (): Promise<void> => {
      try {
        device.keep(device.empty('f32', [64]));
        await Promise.reject(new Error('the loss is NaN'));
      } finally {
        device.close();
      }
    };
    await expect(failing()).rejects.toThrow('the loss is NaN');
    expect(check).toThrow('has left 256 bytes');
    device.close();
    expect(check).not.toThrow();
  } finally {
    close();
  }
});
