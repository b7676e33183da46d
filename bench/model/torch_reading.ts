/** Reading by this engine and by PyTorch in turns: the same weights, images and precision. */
import type { Device } from '../../engine/index.js';
import { CharsetAdapter, type Clip4StrModel, readingFromLogits } from '../../model/index.js';
import { median } from '../report/middle.js';
import { renderedWords } from './rendered_words.js';
import type { TorchTwin, TwinReading } from './torch_twin.js';

/** A batch of rendered words, from normalised pixels in the host's memory to texts in it; milliseconds are medians. */
export interface ReadingComparison {
  readonly batchSize: number;
  readonly rounds: number;
  /** Both compute every position. */
  readonly whole: ReadingTimesBeside;
  /** Both end with the texts of the batch: the engine as it usually reads, PyTorch as the original does. */
  readonly ending: ReadingTimesBeside;
  /** Images whose texts are the same where every position is computed, and those whose are not. */
  readonly sameTexts: number;
  readonly differingTexts: readonly {
    readonly image: number;
    readonly own: string;
    readonly torch: string;
  }[];
  /** Most memory of PyTorch's tensors on its GPU; null on a CPU. */
  readonly torchPeakBytes: number | null;
}

export interface ReadingTimesBeside {
  readonly ownMs: number;
  readonly torchMs: number;
  /** PyTorch's time over ours. */
  readonly ratio: number;
}

const [mostRounds, fewRounds, longMs] = [9, 3, 5000];

/** @param twin built from the model */
export async function compareReading(
  device: Device,
  model: Clip4StrModel,
  twin: TorchTwin,
  batchSize: number,
): Promise<ReadingComparison> {
  const { pixels } = await renderedWords(batchSize, model.configuration);
  const shape = [batchSize, 3, ...model.configuration.image.imageSize];
  await twin.giveImages({ pixels, shape });
  const turn = async (endsEarly: boolean): Promise<Turn> => {
    const start = performance.now();
    const texts = await readPixels(device, model, { pixels, shape }, endsEarly);
    return { ownMs: performance.now() - start, texts, torch: await twin.read(endsEarly) };
  };
  // The first ones compile.
  const { texts: own, torch: first } = await turn(false);
  await turn(true);
  const turns: { whole: Turn; ending: Turn }[] = [];
  for (let rounds = mostRounds; turns.length < rounds;) {
    turns.push({ whole: await turn(false), ending: await turn(true) });
    const { ownMs, torch } = turns[0]!.whole;
    if (Math.max(ownMs, torch.milliseconds) > longMs) rounds = fewRounds;
  }
  const differingTexts = own.flatMap((text, image) => {
    const torch = first.texts[image] ?? '';
    return text === torch ? [] : [{ image, own: text, torch }];
  });
  return {
    batchSize,
    rounds: turns.length,
    whole: mediansOf(turns.map(({ whole }) => whole)),
    ending: mediansOf(turns.map(({ ending }) => ending)),
    sameTexts: own.length - differingTexts.length,
    differingTexts,
    torchPeakBytes: first.peakBytes,
  };
}

interface Turn {
  readonly ownMs: number;
  readonly texts: readonly string[];
  readonly torch: TwinReading;
}

function mediansOf(turns: readonly Turn[]): ReadingTimesBeside {
  const ownMs = median(turns.map((turn) => turn.ownMs));
  const torchMs = median(turns.map(({ torch }) => torch.milliseconds));
  return { ownMs, torchMs, ratio: torchMs / ownMs };
}

/** What a reader does with images once they are normalised. */
function readPixels(
  device: Device,
  model: Clip4StrModel,
  { pixels, shape }: { readonly pixels: Float32Array<ArrayBuffer>; readonly shape: readonly number[] },
  endsEarly: boolean,
): Promise<string[]> {
  const { configuration, tokenizer } = model;
  return device.exclusively(() =>
    device.scope(async () => {
      const { logits } = await model.recognize(device.tensor(pixels, shape), {
        autoregressive: true,
        refineIterations: configuration.refineIterations,
        stopping: 'independent',
        endsEarly,
        keepsWork: true,
        captionAdapter: new CharsetAdapter(configuration.testCharset),
      });
      const values = (await logits.read()) as Float32Array;
      const size = values.length / shape[0]!;
      return Array.from(
        { length: shape[0]! },
        (_, image) =>
          readingFromLogits(values.subarray(image * size, (image + 1) * size), tokenizer, `image ${image}`)
            .text,
      );
    }),
  );
}
