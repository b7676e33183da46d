/** Which of a model's branches a validation reads with, and which images count. */
import { expect, test } from '@jest/globals';
import type { TrainableModel } from '../train/trainable_model.js';
import type { Sample } from '../train/data/data_source.js';
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

/** A model that reads the same in every image of a batch of one: 'b', and 'a' by its visual branch. */
const model = {
  configuration: presetOf('base'),
  tokenizer,
  recognize: () =>
    Promise.resolve({
      logits: device().tensor(logitsOf('b'), [1, 2, 95]),
      visualLogits: device().tensor(logitsOf('a'), [1, 2, 95]),
    }),
} as unknown as TrainableModel;

async function withValidation(
  samples: readonly Sample[],
  work: (validation: Validation) => Promise<void>,
): Promise<void> {
  const sets = [{ name: 'words', source: memorySource(samples) }];
  const options = { batchSize: 1, threads: 1, onCorrupt: () => undefined };
  const validation = await Validation.open(device(), model, sets, options);
  try {
    await work(validation);
  } finally {
    await validation.close();
  }
}

test.each([
  [true, 100],
  [false, 0],
])(
  'visual branch alone: %s',
  (visualOnly, accuracy) =>
    withValidation(samples.filter(({ label }) => label === 'a').slice(0, 2), async (validation) => {
      const { combined } = await validation.run({ visualOnly });
      expect(combined).toMatchObject({ samples: 2, accuracy });
    }),
  60_000,
);

test('images that cannot be read count as nothing, whatever stands in for them, each time', () => {
  const [good, other] = samples as [Sample, Sample];
  const damaged = { ...other, image: (other.image as Uint8Array).subarray(0, 60) };
  const set = [{ ...good, label: 'c' }, damaged, { ...good, label: 'b', source: 'b.png' }, damaged];
  return withValidation(set, async (validation) => {
    for (let round = 0; round < 2; round++) {
      const { sets, combined, unreadable, samples: shown } = await validation.run();
      expect(sets).toMatchObject([{ samples: 2, accuracy: 50 }]);
      expect(combined).toMatchObject({ samples: 2, accuracy: 50 });
      expect(unreadable).toBe(2);
      expect(shown.map(({ source }) => source)).toEqual([good.source, 'b.png']);
    }
  });
}, 60_000);
