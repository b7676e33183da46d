import { type Device, type Tensor } from '../engine/index.js';
import { Branch, clozeMask, cutReading, originalStepCount } from './branch.js';
import { CharsetTokenizer } from './charset_tokenizer.js';
import type { ParseqConfiguration } from './configuration.js';
import { Decoder, parseqDecoderNames } from './decoder.js';
import { encodeVitImage } from './image_encoder.js';
import type { Parameters } from './parameters.js';
import { type DecodingOptions, type Recognition, type Recognizer, positionCount } from './recognizer.js';

/** PARSeq (Bautista and Atienza, 2022): a ViT encoder and one permuted autoregressive decoder. */
export class Parseq implements Recognizer {
  readonly tokenizer: CharsetTokenizer;
  readonly decoder: Decoder;
  private readonly branch: Branch;

  constructor(
    readonly device: Device,
    readonly parameters: Parameters,
    readonly configuration: ParseqConfiguration,
  ) {
    this.tokenizer = new CharsetTokenizer(configuration.charset);
    this.decoder = new Decoder(device, parameters, parseqDecoderNames, configuration.decoder);
    this.branch = new Branch(device, this.decoder, this.tokenizer);
  }

  /** Image tokens `[batch, patches, width]` of images `[batch, 3, height, width]`. */
  encode(images: Tensor): Tensor {
    return encodeVitImage(images, this.parameters, this.configuration.image);
  }

  recognize(images: Tensor, options: DecodingOptions): Promise<Recognition> {
    const { device, branch } = this;
    return device.scope(async () => {
      const batch = images.shape[0]!;
      const positions = positionCount(options, this.configuration.decoder.maxLabelLength);
      const encoded = this.encode(images);
      await options.onStage?.('memory', encoded);
      const memory = branch.prepareMemory(encoded);
      const looked = options.attention
        ? device.empty('f32', [batch, positions, encoded.shape[1]!])
        : undefined;

      let reading = options.autoregressive
        ? branch.readStepwise(memory, batch, positions, looked)
        : branch.readAtOnce(memory, batch, positions, looked);
      if (options.autoregressive && options.stopping === 'batch') {
        const ids = (await reading.ids.read()) as Uint32Array;
        reading = cutReading(reading, originalStepCount(ids, positions, this.tokenizer.endId));
      }
      await options.onStage?.('first_logits', reading.logits);
      const mask = clozeMask(device, positions);
      for (let pass = 1; pass <= options.refineIterations; pass++) {
        reading = branch.refine(reading, positions, memory, mask, looked);
        await options.onStage?.(`refined_logits_${pass}`, reading.logits);
      }
      return { logits: reading.logits, ...(looked ? { attention: looked } : {}) };
    });
  }
}
