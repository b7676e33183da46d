/** Where the time of a reading goes: each stage alone, the device waited for after each. */
import { performance } from 'node:perf_hooks';
import type { Device, Tensor } from '../../engine/index.js';
import { sleptMs } from '../../engine/patient_polling.js';
import { type Clip4Str, Clip4StrModel, captionFromIds } from '../../model/index.js';
import { CharsetAdapter } from '../../model/charset.js';
import { decodeImage } from '../../model/decode_image.js';
import { preprocessImage } from '../../model/image.js';
import { greedyIds } from '../../model/reading_text.js';
import type { DecodingOptions } from '../../model/recognizer.js';

/** What a stage of a batch takes. */
export interface StageTimes {
  readonly ms: number;
  /** Milliseconds in which the host computes, recording work for the device among it; the rest it waits. */
  readonly hostMs: number;
  readonly dispatches: number;
  /** Characters that are read one after another, where the stage does so. */
  readonly steps?: number;
}

const visualDecoder = 'visual decoder';

/** What stages end with, by the names that the models give their results. */
const stageNames: readonly (readonly [RegExp, string])[] = [
  [/^memory$/, 'image encoder'],
  [/^(visual|first)_logits$/, visualDecoder],
  [/^cross_logits$/, 'text encoder and cross decoder'],
  [/^(visual_)?refined_logits/, 'refinement, visual'],
  [/^cross_refined_logits/, 'refinement, text and cross'],
];

/**
 * Reads a batch of one image so that every stage can be told apart; waiting for the device after each makes it a little
 * slower than reading is.
 * @param image bytes of an image file
 * @returns by stage, in the order in which they are gone through
 */
export async function timeStages(
  device: Device,
  { model }: Clip4Str,
  image: Uint8Array,
  batchSize: number,
): Promise<ReadonlyMap<string, StageTimes>> {
  const { configuration } = model;
  const { imageSize } = configuration.image;
  const times = new Map<string, StageTimes>();
  const now = (): StageTimes => ({
    ms: performance.now(),
    hostMs: hostMsSoFar(),
    dispatches: device.counts.dispatches,
  });
  let last = now();
  const ends = (stage: string, steps?: number): void => {
    const end = now();
    const before = times.get(stage);
    times.set(stage, {
      ms: (before?.ms ?? 0) + end.ms - last.ms,
      hostMs: (before?.hostMs ?? 0) + end.hostMs - last.hostMs,
      dispatches: (before?.dispatches ?? 0) + end.dispatches - last.dispatches,
      ...(steps === undefined ? {} : { steps }),
    });
    last = end;
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
        endsEarly: true,
        keepsWork: true,
        onStage: async (stage, value) => {
          await device.finish();
          const name = stageNames.find(([pattern]) => pattern.test(stage))?.[1] ?? stage;
          ends(name, name === visualDecoder ? value.shape[1] : undefined);
          if (stage === 'visual_logits') visualLogits = value;
        },
      };
      const { logits } = await model.recognize(images, options);
      last = now();
      await logits.read();
      ends('read-back');
      if (model instanceof Clip4StrModel && visualLogits) {
        last = now();
        encodeSomeCaptions(model, captionAdapter, batchSize);
        await device.finish();
        ends('of which text encoder, once');
      }
    }),
  );
  return times;
}

/** Between the branches the captions are encoded and looked at in one go; here they are encoded alone. */
function encodeSomeCaptions(model: Clip4StrModel, adapter: CharsetAdapter, batchSize: number): void {
  const { classes } = model.tokenizer;
  // Any text will do: every caption takes the same tokens.
  const ids = greedyIds(
    new Float32Array(classes).map((_, i) => Number(i === 1)),
    classes,
  );
  const captions = Array.from({ length: batchSize }, () => captionFromIds(ids, model.tokenizer, adapter));
  model.encodeCaptions(captions, true);
}

/** Milliseconds that this thread has computed so far. */
export function hostMsSoFar(): number {
  return performance.eventLoopUtilization().active - sleptMs();
}
