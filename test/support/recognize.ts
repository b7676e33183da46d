import { expect } from '@jest/globals';
import type { Device, Tensor } from '../../engine/index.js';
import { CharsetAdapter } from '../../model/charset.js';
import type { CharsetTokenizer } from '../../model/charset_tokenizer.js';
import { captionFromIds, greedyIds, readingFromLogits } from '../../model/reading_text.js';
import type { DecodingOptions, Recognizer } from '../../model/recognizer.js';
import type { StoredTensor } from './safetensors.js';

/** Values on the host with their shape. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface Recognized {
  /** `[batch, positions, classes]`. */
  readonly logits: HostTensor;
  readonly visualLogits: HostTensor | undefined;
  /** Intermediate results by the name of their stage. */
  readonly stages: ReadonlyMap<string, HostTensor>;
}

export async function onHost(tensor: Tensor): Promise<HostTensor> {
  return { shape: tensor.shape, data: (await tensor.read()) as Float32Array };
}

/** A fixture's images on the device; the innermost scope owns them. */
export function upload(device: Device, { data, shape }: StoredTensor): Tensor {
  return device.tensor(Float32Array.from(data as Float32Array), shape);
}

/** Some of a fixture's images. */
export function imageRows({ dtype, data, shape }: StoredTensor, start: number, end: number): StoredTensor {
  const size = data.length / shape[0]!;
  return { dtype, shape: [end - start, ...shape.slice(1)], data: data.slice(start * size, end * size) };
}

/** Reads a batch with every stage recorded: as the original, without refinement, unless told. */
export function recognize(
  device: Device,
  model: Recognizer,
  images: StoredTensor,
  options: Partial<DecodingOptions> = {},
): Promise<Recognized> {
  const stages = new Map<string, HostTensor>();
  return device.scope(async () => {
    const { logits, visualLogits } = await model.recognize(upload(device, images), {
      autoregressive: true,
      refineIterations: 0,
      stopping: 'batch',
      captionAdapter: new CharsetAdapter('36'),
      onStage: async (stage, value) => {
        stages.set(stage, await onHost(value));
      },
      ...options,
    });
    return {
      logits: await onHost(logits),
      visualLogits: visualLogits && (await onHost(visualLogits)),
      stages,
    };
  });
}

/** Most probable ids of each position of each image. */
export function idsOf({ data, shape }: HostTensor): number[] {
  return [...greedyIds(data, shape[2]!)];
}

/** Captions that a batch's visual logits spell. */
export function captionsOf(
  visual: HostTensor,
  tokenizer: CharsetTokenizer,
  adapter: CharsetAdapter,
): string[] {
  const [batch, positions] = visual.shape as [number, number];
  const ids = idsOf(visual);
  return Array.from({ length: batch }, (_, row) =>
    captionFromIds(ids.slice(row * positions, (row + 1) * positions), tokenizer, adapter),
  );
}

/** What the original's JSON files say of a batch's logits. */
export interface ExpectedReadings {
  readonly strings: readonly string[];
  readonly confidence: readonly number[];
  readonly strings_charset_test?: readonly string[];
  readonly char_probs?: readonly (readonly number[])[];
  readonly decode_fast_strings?: readonly string[];
}

/** A JSON file of a batch: readings by stage; captions and counts beside them. */
export type ExpectedBatch = Record<string, ExpectedReadings> & Record<string, string[] | number>;

/** A run with other arguments, with the captions that it made. */
export interface ExpectedRun extends ExpectedReadings {
  readonly captions: readonly string[][];
  readonly ar_steps: number;
}

/** Same texts; probabilities within 1e-4, confidences within a thousandth of themselves. */
export function expectReadings(
  { data, shape }: HostTensor,
  expected: ExpectedReadings,
  tokenizer: CharsetTokenizer,
  testCharset = '36',
): void {
  const adapter = new CharsetAdapter(testCharset);
  const [batch, positions, classes] = shape as [number, number, number];
  const size = positions * classes;
  expect(expected.strings).toHaveLength(batch);
  for (let row = 0; row < batch; row++) {
    const own = data.slice(row * size, (row + 1) * size);
    const { text, characters, endProbability, confidence } = readingFromLogits(own, tokenizer);
    expect(text).toBe(expected.strings[row]);
    const relativeError = Math.abs(confidence / expected.confidence[row]! - 1);
    expect(relativeError).toBeLessThan(1e-3);
    if (expected.strings_charset_test) expect(adapter.adapt(text)).toBe(expected.strings_charset_test[row]);
    if (expected.decode_fast_strings) {
      expect(tokenizer.decodeToWrittenEnd(greedyIds(own, classes))).toBe(expected.decode_fast_strings[row]);
    }
    if (expected.char_probs) {
      const probabilities = [
        ...characters.map(({ probability }) => probability),
        ...(endProbability === null ? [] : [endProbability]),
      ];
      expect(probabilities).toHaveLength(expected.char_probs[row]!.length);
      probabilities.forEach((probability, at) => {
        expect(Math.abs(probability - expected.char_probs![row]![at]!)).toBeLessThan(1e-4);
      });
    }
  }
}
