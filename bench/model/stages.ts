/** Where the time of a reading goes: each stage alone, the device waited for after each. */
import type { Device, Tensor } from '../../engine/index.js';
import { type Clip4Str, Clip4StrModel, captionFromIds } from '../../model/index.js';
import { CharsetAdapter } from '../../model/charset.js';
import { decodeImage } from '../../model/decode_image.js';
import { preprocessImage } from '../../model/image.js';
import { greedyIds } from '../../model/reading_text.js';
import type { DecodingOptions } from '../../model/recognizer.js';

/** Milliseconds of a batch, by stage, in the order in which they are gone through. */
export type StageTimes = ReadonlyMap<string, number>;

/** What stages end with, by the names that the models give their results. */
const stageNames: readonly (readonly [RegExp, string])[] = [
  [/^memory$/, 'image encoder'],
  [/^(visual|first)_logits$/, 'visual decoder'],
  [/^cross_logits$/, 'text encoder and cross decoder'],
  [/^(visual_)?refined_logits/, 'refinement, visual'],
  [/^cross_refined_logits/, 'refinement, text and cross'],
];

/**
 * Reads a batch of one image so that every stage can be told apart; waiting for the device after each makes it a little
 * slower than reading is.
 * @param image bytes of an image file
 */
export async function timeStages(
  device: Device,
  { model }: Clip4Str,
  image: Uint8Array,
  batchSize: number,
): Promise<StageTimes> {
  const { configuration } = model;
  const { imageSize } = configuration.image;
  const times = new Map<string, number>();
  let last = performance.now();
  const ends = (stage: string): void => {
    const now = performance.now();
    times.set(stage, (times.get(stage) ?? 0) + now - last);
    last = now;
  };
  const decoded = await Promise.all(Array.from({ length: batchSize }, () => decodeImage(image)));
  ends('decode');
  const length = 3 * imageSize[0] * imageSize[1];
  const pixels = new Float32Array(batchSize * length);
  for (const [place, rgb] of decoded.entries()) {
    const into = pixels.subarray(place * length, (place + 1) * length);
    preprocessImage(rgb, imageSize, configuration.normalization, into);
  }
  ends('resize');
  const captionAdapter = new CharsetAdapter(configuration.testCharset);
  await device.exclusively(() =>
    device.scope(async () => {
      const images = device.tensor(pixels, [batchSize, 3, ...imageSize]);
      await device.finish();
      ends('upload');
      let visualLogits: Tensor | undefined;
      const options: DecodingOptions = {
        autoregressive: configuration.decodeAutoregressive,
        refineIterations: configuration.refineIterations,
        stopping: 'independent',
        captionAdapter,
        onStage: async (stage, value) => {
          await device.finish();
          ends(stageNames.find(([pattern]) => pattern.test(stage))?.[1] ?? stage);
          if (stage === 'visual_logits') visualLogits = value;
        },
      };
      const { logits } = await model.recognize(images, options);
      last = performance.now();
      await logits.read();
      ends('read-back');
      if (model instanceof Clip4StrModel && visualLogits) {
        times.set(
          'of which text encoder, once',
          await timeTextEncoder(device, model, captionAdapter, batchSize),
        );
      }
    }),
  );
  return times;
}

/** Between the branches the captions are encoded and looked at in one go; here they are encoded alone. */
async function timeTextEncoder(
  device: Device,
  model: Clip4StrModel,
  adapter: CharsetAdapter,
  batchSize: number,
): Promise<number> {
  const { classes } = model.tokenizer;
  // Any text will do: every caption takes the same tokens.
  const ids = greedyIds(
    new Float32Array(classes).map((_, i) => Number(i === 1)),
    classes,
  );
  const captions = Array.from({ length: batchSize }, () => captionFromIds(ids, model.tokenizer, adapter));
  return device.scope(async () => {
    const start = performance.now();
    model.encodeCaptions(captions);
    await device.finish();
    return performance.now() - start;
  });
}
