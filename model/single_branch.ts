import type { Device, Tensor } from '../engine/index.js';
import { Branch, originalStepCount } from './branch.js';
import { cutReading } from './branch_reading.js';
import { CharsetTokenizer } from './charset_tokenizer.js';
import type { ParseqConfiguration, StrAdapterConfiguration } from './configuration.js';
import { Decoder, parseqDecoderNames } from './decoder.js';
import { KeptWork, freshCopy } from './kept_work.js';
import type { Parameters } from './parameters.js';
import { patchAttention } from './patch_attention.js';
import {
  type DecodingOptions,
  type Recognition,
  type Recognizer,
  positionCount,
  stopsWithBatch,
} from './recognizer.js';

/** A model of one decoder, which reads encoded images: PARSeq, or CLIP with an adapter. */
export abstract class SingleBranchModel<
  Configuration extends ParseqConfiguration | StrAdapterConfiguration =
    ParseqConfiguration | StrAdapterConfiguration,
> implements Recognizer {
  readonly tokenizer: CharsetTokenizer;
  readonly decoder: Decoder;
  /** Whether gradients compute each transformer block again, which saves memory and costs a forward pass. */
  recomputeBlocks = false;
  private readonly branch: Branch;
  private readonly imageWork: KeptWork;

  constructor(
    readonly device: Device,
    readonly parameters: Parameters,
    readonly configuration: Configuration,
  ) {
    this.tokenizer = new CharsetTokenizer(configuration.charset);
    this.decoder = new Decoder(device, parameters, parseqDecoderNames, configuration.decoder);
    this.branch = new Branch(device, this.decoder, this.tokenizer);
    this.imageWork = new KeptWork(device);
  }

  /** What the decoder looks at, `[batch, tokens, width]`, of images `[batch, 3, height, width]`. */
  abstract encode(images: Tensor): Tensor;

  recognize(images: Tensor, options: DecodingOptions): Promise<Recognition> {
    const { device, branch } = this;
    const { decoder, image } = this.configuration;
    return device.scope(async () => {
      const batch = images.shape[0]!;
      const positions = positionCount(options, decoder.maxLabelLength);
      const encoded = options.keepsWork
        ? this.imageWork.run([images], ([own]) => [this.encode(own!)])[0]!
        : this.encode(images);
      await options.onStage?.('memory', encoded);
      const memory = branch.prepareMemory(encoded);
      const looked = options.attention
        ? device.empty('f32', [batch, positions, encoded.shape[1]!])
        : undefined;

      let reading = options.autoregressive
        ? await branch.readStepwise(memory, batch, positions, {
            endsEarly: options.endsEarly,
            keepsLoop: options.keepsWork,
            attentionInto: looked,
          })
        : branch.readAtOnce(memory, batch, positions, looked);
      if (stopsWithBatch(options)) {
        const ids = (await reading.ids.read()) as Uint32Array;
        reading = cutReading(reading, originalStepCount(ids, reading.logits.shape[1]!, this.tokenizer.endId));
      }
      await options.onStage?.('first_logits', reading.logits);
      for (let pass = 1; pass <= options.refineIterations; pass++) {
        reading = branch.refine(reading, positions, memory, {
          keepsWork: options.keepsWork,
          attentionInto: looked,
        });
        await options.onStage?.(`refined_logits_${pass}`, reading.logits);
      }
      return {
        logits: reading.logits,
        ...(looked ? { attention: patchAttention(looked, image, reading.logits.shape[1]!) } : {}),
      };
    });
  }

  compile(): Promise<void> {
    const { device, branch } = this;
    const { image, decoder, refineIterations } = this.configuration;
    return device.compile(() => {
      const encoded = this.encode(freshCopy(device.empty('f32', [1, 3, ...image.imageSize])));
      const memory = branch.prepareMemory(freshCopy(encoded));
      branch.rehearse(memory, 1 + decoder.maxLabelLength, { steps: true, passes: refineIterations > 0 });
    });
  }

  forgetKeptWork(): void {
    this.imageWork.dispose();
    this.branch.dispose();
  }

  dispose(): void {
    this.forgetKeptWork();
    this.parameters.dispose();
  }
}
