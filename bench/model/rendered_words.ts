import type { RecognizerConfiguration } from '../../model/index.js';
import { findRunData, presetConfiguration } from '../../train/index.js';
import { type Batch, Loader } from '../../train/data/loader.js';
import { loaderOptions } from '../../train/run_batches.js';

/** A batch of rendered words, the same in every run, as a model takes its images. */
export async function renderedWords(count: number, reader: RecognizerConfiguration): Promise<Batch> {
  const configuration = presetConfiguration('base', [
    `data.synthetic.count=${count}`,
    `model.batch_size=${count}`,
    'data.augment=false',
    'data.num_workers=1',
  ]);
  const { source } = await findRunData(configuration);
  const onCorrupt = (): void => undefined;
  const loader = await Loader.open(loaderOptions({ configuration, source, onCorrupt }, reader, undefined));
  try {
    return (await loader.next())!;
  } finally {
    await loader.close();
  }
}
