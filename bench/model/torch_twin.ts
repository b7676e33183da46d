/** PyTorch's twin of a CLIP4STR model in another process: given weights and data, it computes as the original code does. */
import { z } from 'zod';
import { clipMerges } from '../../model/clip_merges.js';
import type { Clip4StrConfiguration, Parameters } from '../../model/index.js';
import type { ParameterGroup } from '../../train/parameter_groups.js';
import type { PermutedLossOptions } from '../../train/permuted_loss.js';
import { type TorchGreeting, type TorchOptions, TorchProcess } from '../peers/torch_process.js';

const nothing = z.object({});
const bytes = z.number().nullable();
const readAnswer = z.object({ milliseconds: z.number(), texts: z.array(z.string()), peakBytes: bytes });
const lossAnswer = z.object({ loss: z.number() });
const stepAnswer = z.object({
  milliseconds: z.number(),
  loss: z.number(),
  skipped: z.boolean(),
  peakBytes: bytes,
});

/** What was read; `peakBytes` is the most that tensors took on a GPU, null on a CPU. */
export type TwinReading = z.infer<typeof readAnswer>;
export type TwinStep = z.infer<typeof stepAnswer>;

/** A batch of images, normalised: `[batch, 3, height, width]`. */
export interface TwinImages {
  readonly pixels: Float32Array;
  readonly shape: readonly number[];
}

/** A batch to train on. */
export interface TwinBatch extends TwinImages {
  /** Ids `[labels, length]` from begin to end, then padding. */
  readonly ids: Uint32Array;
  readonly idsShape: readonly number[];
  readonly permutations: readonly (readonly number[])[];
}

/** How it is trained, of the loss all options but dropout, which the model was built with. */
export interface TwinTrainingOptions extends Required<Omit<PermutedLossOptions, 'dropout'>> {
  readonly groups: readonly ParameterGroup[];
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  /** 0 for no limit. */
  readonly maxGradientNorm: number;
  readonly halfPrecision: boolean;
}

export class TorchTwin {
  private half = false;

  private constructor(
    private readonly process: TorchProcess,
    readonly about: TorchGreeting,
  ) {}

  /** @throws PeerUnable that says what to do, where there is no such Python or it has no PyTorch */
  static async open(python: string, options: TorchOptions = {}): Promise<TorchTwin> {
    const { process, greeting } = await TorchProcess.start(python, 'model', options);
    return new TorchTwin(process, greeting);
  }

  /**
   * Gives it a model, in place of the last one.
   * @param half whether it computes in f16 (`model.half()`), else in f32
   */
  async build(
    configuration: Clip4StrConfiguration,
    parameters: Parameters,
    { half, dropout }: { readonly half: boolean; readonly dropout: number },
  ): Promise<void> {
    this.half = half;
    for (const [name, tensor] of parameters.entries()) {
      const values = (await tensor.read()) as Float32Array;
      await this.process.request(nothing, { op: 'weight', name }, [
        { name: 'values', shape: tensor.shape, values },
      ]);
    }
    await this.process.request(nothing, { op: 'build', configuration, merges: clipMerges, half, dropout });
  }

  async giveImages({ pixels, shape }: TwinImages): Promise<void> {
    await this.process.request(nothing, { op: 'give_images' }, [{ name: 'images', shape, values: pixels }]);
  }

  /**
   * Reads the images that it was given, from pixels in the host's memory to texts in it.
   * @param stopEarly whether the loop ends with the texts of the batch, as in the original's own reading
   */
  async read(stopEarly: boolean): Promise<TwinReading> {
    const { answer } = await this.process.request(readAnswer, { op: 'read', half: this.half, stopEarly });
    return answer;
  }

  /** @returns the loss before the first step, without dropout, in f32 */
  async prepareTraining(batch: TwinBatch, options: TwinTrainingOptions): Promise<number> {
    const { pixels, shape, ids, idsShape, permutations } = batch;
    const { answer } = await this.process.request(
      lossAnswer,
      { op: 'prepare_training', options, permutations },
      [
        { name: 'images', shape, values: pixels },
        { name: 'ids', shape: idsShape, values: ids },
      ],
    );
    return answer.loss;
  }

  /** One step on the batch that it was given. */
  async step(learningRates: readonly number[]): Promise<TwinStep> {
    return (await this.process.request(stepAnswer, { op: 'step', learningRates })).answer;
  }

  /** Frees the model. */
  async forget(): Promise<void> {
    await this.process.request(nothing, { op: 'forget' });
  }

  close(): Promise<void> {
    return this.process.close();
  }
}
