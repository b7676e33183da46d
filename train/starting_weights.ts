/** The weights that a training starts from: random ones, CLIP's for the towers, or those of a model to be trained further. */
import {
  CharsetTokenizer,
  type RecognizerConfiguration,
  finalDecoder,
  inferConfiguration,
} from '../model/index.js';
import {
  CheckpointError,
  type ParameterSource,
  openParameters,
  requireParameters,
  withClipRounding,
} from '../weights/index.js';
import { adapterOrigin } from './adapter_origin.js';
import type { TrainingConfiguration } from './configuration_schema.js';
import { initialWeights } from './initial_weights.js';
import { type ParameterReader, parameterSource } from './parameter_source.js';
import { prunedParameter } from './pruned_blocks.js';

const clipPrefix = 'clip_model.';
const sizesAdvice = 'Set the options of the model to its sizes';

/** Rows that stand for characters: begin and padding have rows in the embedding alone, the end token is row 0 of all. */
const characterRows = /(?:^|\.)(?:head\.(?:weight|bias)|text_embed\.embedding\.weight)$/;

/**
 * Opens what the configuration names: `pretrained`, else CLIP's weights for the towers (`model.clip_pretrained`), rounded
 * as the original rounds them, beside random decoders, else random weights alone. The caller closes it.
 * @throws Error in one line if the file does not fit the model
 */
export async function startingWeights(
  run: TrainingConfiguration,
  model: RecognizerConfiguration,
): Promise<ParameterSource> {
  const random = initialWeights(model, run.seed);
  const clipFile = 'clip_pretrained' in run.model ? run.model.clip_pretrained : null;
  const path = run.pretrained ?? clipFile;
  if (path === null) return random;
  const source = await openParameters(path);
  try {
    return run.pretrained === null
      ? clipWeights(withClipRounding(source), random, model)
      : pretrainedWeights(source, random, model);
  } catch (error) {
    await source.close();
    throw error;
  }
}

/**
 * CLIP's weights for the towers of a model, under its names, and for an adapter that starts as a copy of some; the rest
 * stays as it is.
 */
export function clipWeights(
  clip: ParameterSource,
  random: ParameterSource,
  model: RecognizerConfiguration,
): ParameterSource {
  if (clip.family !== 'clip') {
    throw new CheckpointError(
      clip.name,
      `is a ${clip.family} model; model.clip_pretrained takes plain CLIP. Give it as pretrained instead`,
    );
  }
  const ownName = (name: string): string | undefined =>
    name.startsWith(clipPrefix) ? name.slice(clipPrefix.length) : undefined;
  const expected = [...random.parameters].flatMap(([name, { shape }]): [string, readonly number[]][] => {
    const own = ownName(name);
    return own === undefined ? [] : [[own, shape]];
  });
  requireParameters(clip, new Map(expected), sizesAdvice);
  return combined(clip, random, async (name, shape) => {
    const own = ownName(name);
    if (own !== undefined) return clip.readF32(own);
    const origin = model.family === 'str_adapter' ? adapterOrigin(name, model.adapter) : undefined;
    if (origin === undefined) return random.readF32(name);
    return prunedParameter(name, await clip.readF32(origin), shape);
  });
}

/**
 * The weights of another model of the same kind and sizes. Where its charset differs, the rows of characters that both
 * have, and of the special tokens, are kept; other characters start at random.
 */
export function pretrainedWeights(
  source: ParameterSource,
  random: ParameterSource,
  model: RecognizerConfiguration,
): ParameterSource {
  if (source.family !== model.family) {
    throw new CheckpointError(source.name, `is a ${source.family} model; this run trains ${model.family}`);
  }
  const stored = inferConfiguration(source, {
    imageSize: model.image.imageSize,
    decoderHeads: finalDecoder(model).heads,
    encoderHeads: model.image.heads,
    ladderBlocks:
      model.family === 'str_adapter' && 'blocks' in model.adapter ? model.adapter.blocks : undefined,
  }) as RecognizerConfiguration;
  const sameCharset = stored.charset === model.charset;
  const isKept = (name: string): boolean => sameCharset || !characterRows.test(name);
  const expected = [...random.parameters].map(([name, { shape }]): [string, readonly number[]] => {
    const rows = source.parameters.get(name)?.shape[0];
    return [name, isKept(name) || rows === undefined ? shape : shape.with(0, rows)];
  });
  requireParameters(source, new Map(expected), sizesAdvice);
  const rows = matchingRows(stored.charset, model.charset);
  return combined(source, random, async (name, shape) => {
    if (isKept(name)) return source.readF32(name);
    const width = shape[1] ?? 1;
    const [from, to] = [await source.readF32(name), await random.readF32(name)];
    for (const [row, storedRow] of rows) {
      if (row < shape[0]!) to.set(from.subarray(storedRow * width, (storedRow + 1) * width), row * width);
    }
    return to;
  });
}

/** Rows of the new charset with the stored rows that mean the same. */
function matchingRows(stored: string, wanted: string): [row: number, stored: number][] {
  const [from, to] = [new CharsetTokenizer(stored), new CharsetTokenizer(wanted)];
  const storedIds = new Map(Array.from(stored, (character, index) => [character, index + 1]));
  const characters = Array.from(wanted).flatMap((character, index): [number, number][] => {
    const id = storedIds.get(character);
    return id === undefined ? [] : [[index + 1, id]];
  });
  return [[to.endId, from.endId], ...characters, [to.beginId, from.beginId], [to.padId, from.padId]];
}

/** All parameters of `random`, as `read` gives them. */
function combined(source: ParameterSource, random: ParameterSource, read: ParameterReader): ParameterSource {
  const shapes = new Map([...random.parameters].map(([name, { shape }]) => [name, shape]));
  return parameterSource(source.name, random.family, shapes, read, () => source.close());
}
