/** What reading takes is compiled while the weights are uploaded. */
import { afterAll, expect, test } from '@jest/globals';
import { openDevice } from '../engine/index.js';
import { Clip4Str, type LoadOptions } from '../model/index.js';
import { fixtureOptions, parseqOptions } from './support/fixture_models.js';
import { fixturePath, readTensorFixture } from './support/fixtures.js';
import { imageRows } from './support/recognize.js';
import { useSummary } from './support/error_report.js';

const lines = useSummary('programs compiled by loading, and more by readings');
const device = await openDevice({ device: 'software' });
afterAll(() => device.close());

const models: [string, string, LoadOptions, string][] = [
  ['CLIP4STR', 'models/fast.safetensors', fixtureOptions('fast'), 'forward/fast_A.safetensors'],
  ['PARSeq', 'parseq/parseq_tiny.pt', parseqOptions, 'parseq/parseq_refs.safetensors'],
];

test.each(models)(
  '%s in each precision reads an image without compiling more',
  async (name, file, options, imageFile) => {
    const images = readTensorFixture(imageFile).get('images');
    const normalized = imageRows(images, 0, 1).data as Float32Array;
    for (const precision of ['f32', 'f16', 'int8'] as const) {
      const earlier = device.programCount;
      device.resetStatistics();
      const reader = await Clip4Str.load(device, fixturePath(file), { ...options, precision });
      // Halves and blocks are made from what is uploaded; nothing else is done.
      if (precision === 'f32') expect(device.counts.dispatches).toBe(0);
      const loaded = device.programCount;
      const [first] = await reader.read([{ normalized }]);
      const [second] = await reader.read([{ normalized }]);
      lines.push(`${name} ${precision}: ${loaded - earlier}, ${device.programCount - loaded}`);
      expect(device.programCount).toBe(loaded);
      expect(second!.text).toBe(first!.text);
      reader.dispose();
    }
  },
  120_000,
);
