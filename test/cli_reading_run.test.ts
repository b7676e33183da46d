/** What a reading leaves when it is interrupted in a batch that goes on for long. */
import { join } from 'node:path';
import { afterEach, expect, jest, test } from '@jest/globals';
import { Interruption } from '../cli/interruption.js';
import type { NamedImage } from '../cli/load_images.js';
import { ReadingRun } from '../cli/reading_run.js';
import { type Clip4Str, type Reading, presetOf } from '../model/index.js';
import { openCheckpoint } from '../weights/index.js';
import { withFolder } from './support/weights_files.js';

afterEach(() => void jest.restoreAllMocks());

const reading: Reading = {
  text: 'word',
  confidence: 1,
  characters: [],
  endProbability: 1,
  visualText: null,
  milliseconds: 1,
  logits: { values: new Float32Array(95), positions: 1, columns: 95 },
};

type Waiting = 'batch' | 'image';

/** @param interrupt called when an image is waited for that never comes */
async function* images(waiting: Waiting, interrupt: () => void): AsyncGenerator<NamedImage> {
  for (const name of ['one', 'two', 'three']) {
    if (waiting === 'image' && name === 'three') {
      interrupt();
      await new Promise(() => undefined);
    }
    yield { name, image: { width: 1, height: 1, data: new Uint8Array(3) } };
  }
}

test.each<Waiting>(['batch', 'image'])(
  'what was read before is written, though the %s does not end',
  (waiting) =>
    withFolder(async (folder) => {
      const controller = new AbortController();
      const interrupt = (): void => controller.abort(new Interruption('interrupted', 130));
      let batches = 0;
      const reader = {
        model: { configuration: presetOf('parseq') },
        readEach: (batch: readonly unknown[]) => {
          batches += 1;
          if (batches === 1 || waiting === 'image') return Promise.resolve(batch.map(() => reading));
          interrupt();
          return new Promise(() => undefined);
        },
      } as unknown as Clip4Str;
      let output = '';
      jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
        output += String(text);
        return true;
      });
      const told: string[] = [];
      jest.spyOn(process.stderr, 'write').mockImplementation((text) => Boolean(told.push(String(text))));
      const logits = join(folder, 'logits.safetensors');
      const options = {
        batchSize: waiting === 'batch' ? 2 : 1,
        format: 'json',
        logits,
        quiet: true,
      } as const;
      const run = new ReadingRun(reader, options, 0, controller.signal);
      await expect(run.all(images(waiting, interrupt), 3, {})).rejects.toThrow('interrupted');
      jest.restoreAllMocks();

      expect((JSON.parse(output) as { file: string }[]).map(({ file }) => file)).toEqual(['one', 'two']);
      expect(told).toEqual([`${logits}: holds the logits of the 2 images that were read.\n`]);
      const written = await openCheckpoint(logits);
      expect(written.tensors.get('logits')!.shape).toEqual([2, 26, 95]);
      await written.close();
    }),
);
