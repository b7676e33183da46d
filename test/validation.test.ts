/** Which of a model's branches a validation reads with. */
import { expect, test } from '@jest/globals';
import type { TrainableModel } from '../train/trainable_model.js';
import { memorySource } from '../train/data/memory_data_set.js';
import { Validation } from '../train/validation.js';
import { CharsetTokenizer, presetOf } from '../model/index.js';
import { useDevice } from './support/device.js';
import { samples } from './support/small_run.js';

const device = useDevice();

const tokenizer = new CharsetTokenizer(presetOf('base').charset);

/** Logits of one text, `[1, 2, 95]`. */
function logitsOf(character: string): Float32Array<ArrayBuffer> {
  const logits = new Float32Array(2 * 95);
  const id = Array.from(presetOf('base').charset).indexOf(character) + 1;
  logits[id] = 50;
  logits[95 + tokenizer.endId] = 50;
  return logits;
}

test.each([
  [true, 100],
  [false, 0],
])(
  'visual branch alone: %s',
  async (visualOnly, accuracy) => {
    const model = {
      configuration: presetOf('base'),
      tokenizer,
      recognize: () =>
        Promise.resolve({
          logits: device().tensor(logitsOf('b'), [1, 2, 95]),
          visualLogits: device().tensor(logitsOf('a'), [1, 2, 95]),
        }),
    } as unknown as TrainableModel;
    const source = memorySource(samples.filter(({ label }) => label === 'a').slice(0, 2));
    const validation = await Validation.open(device(), model, [{ name: 'words', source }], {
      batchSize: 1,
      threads: 1,
      onCorrupt: () => undefined,
    });
    try {
      const { combined } = await validation.run({ visualOnly });
      expect(combined).toMatchObject({ samples: 2, accuracy });
    } finally {
      await validation.close();
    }
  },
  60_000,
);
