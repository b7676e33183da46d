/** Where the uniform blocks of a submit lie, and how they are bound. */
import { expect, test } from '@jest/globals';
import { UniformBlocks, parameterLayout } from '../engine/uniform_blocks.js';
import { useDevice } from './support/device.js';

const device = useDevice({ device: 'software' });

test('blocks follow one another until there is no room, and begin anew when they are sent', () => {
  const { gpu } = device();
  const blocks = new UniformBlocks(gpu, parameterLayout(gpu));
  const taken: number[] = [];
  while (blocks.hasRoom(80)) taken.push(blocks.take(80));
  expect(taken).toEqual(Array.from({ length: 1024 }, (_, block) => 256 * block));
  blocks.upload();
  expect(blocks.hasRoom(300)).toBe(true);
  expect([blocks.take(300), blocks.take(16)]).toEqual([0, 512]);
  blocks.discard();
  expect(blocks.take(16)).toBe(0);
  blocks.destroy();
});

test('each place has one bind group for each size', () => {
  const { gpu } = device();
  const blocks = new UniformBlocks(gpu, parameterLayout(gpu));
  const group = blocks.group(512, 80);
  expect(blocks.group(512, 256)).toBe(group);
  expect(blocks.group(512, 257)).not.toBe(group);
  expect(blocks.group(768, 80)).not.toBe(group);
  blocks.destroy();
});

test('what is copied can be put elsewhere', () => {
  const { gpu } = device();
  const blocks = new UniformBlocks(gpu, parameterLayout(gpu));
  blocks.staging.setUint32(256, 7, true);
  const block = blocks.copy(256, 16);
  blocks.staging.setUint32(256, 8, true);
  blocks.fill(1024, block);
  expect(blocks.staging.getUint32(1024, true)).toBe(7);
  blocks.destroy();
});
