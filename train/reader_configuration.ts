/** The model that a run trains, with the sizes that its options do not tell. */
import { type ClipConfiguration, type RecognizerConfiguration, inferConfiguration } from '../model/index.js';
import { CheckpointError, openParameters } from '../weights/index.js';
import type { StrAdapterRunConfiguration, TrainingConfiguration } from './configuration_schema.js';
import {
  clip4strConfiguration,
  parseqConfiguration,
  strAdapterConfiguration,
} from './model_configuration.js';
import { isClip4Str, isStrAdapter } from './trainable_model.js';

/**
 * An adapter's sizes are those of the CLIP that it stands on.
 * @param checkpoint that the run goes on from, if there is one
 * @throws Error in one line if no file tells them, or it does not fit the options
 */
export async function readerConfiguration(
  run: TrainingConfiguration,
  checkpoint?: string,
): Promise<RecognizerConfiguration> {
  if (isClip4Str(run)) return clip4strConfiguration(run);
  if (isStrAdapter(run)) return strAdapterConfiguration(run, await clipSizes(run, checkpoint));
  return parseqConfiguration(run);
}

async function clipSizes(
  { model, pretrained }: StrAdapterRunConfiguration,
  checkpoint: string | undefined,
): Promise<Omit<ClipConfiguration, 'family'>> {
  const path = checkpoint ?? pretrained ?? model.clip_pretrained;
  if (path === null) {
    throw new Error(
      "model.clip_pretrained is null; an adapter stands on CLIP's weights. Set it to a file of them, or pretrained to an " +
        'adapter to train further.',
    );
  }
  const source = await openParameters(path);
  try {
    const configuration = inferConfiguration(source, {
      imageSize: model.img_size,
      decoderHeads: model.dec_num_heads,
      ladderBlocks: model.block_ids,
    });
    if (configuration.family === 'clip' || configuration.family === 'str_adapter') return configuration;
    const wanted = path === model.clip_pretrained ? 'plain CLIP' : 'CLIP with an adapter';
    throw new CheckpointError(source.name, `is a ${source.family} model; this run needs ${wanted}`);
  } finally {
    await source.close();
  }
}
