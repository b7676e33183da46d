/** Half-precision rounding of CLIP's weights, as the original does when it builds CLIP from a state dict. */
import type { F32Chunk } from './checkpoint.js';
import { f32FromHalf, halfFromF32 } from './half.js';
import type { ParameterSource } from './parameters.js';

const CLIP_TENSOR = /^(clip_model\.)?(visual\.|transformer\.|text_projection$)/;
const ROUNDED =
  /(^|\.)((conv1|c_fc|c_proj|out_proj)\.(weight|bias)|in_proj_(weight|bias)|text_projection|visual\.proj)$/;

/**
 * Whether loading CLIP's weights rounds this parameter to half precision: convolutions, linear and attention layers and
 * the two projections are, embeddings, norms and `logit_scale` are not.
 * @param name canonical, with or without `clip_model.` before it
 */
export function isRoundedToHalf(name: string): boolean {
  return CLIP_TENSOR.test(name) && ROUNDED.test(name);
}

/** Rounds every value to the nearest one that half precision can hold, in place; ties go to even. */
export function roundToHalf(values: Float32Array): void {
  const step = 1 << 20;
  for (let start = 0; start < values.length; start += step) {
    const part = values.subarray(start, start + step);
    f32FromHalf(halfFromF32(part), part);
  }
}

/**
 * The same parameters, rounded on reading as the original rounds CLIP's weights when it loads them, be it as CLIP or
 * as the start of training CLIP4STR. Not for trained CLIP4STR checkpoints: loading those restores single precision.
 */
export function withClipRounding(source: ParameterSource): ParameterSource {
  return {
    name: source.name,
    family: source.family,
    convention: source.convention,
    configuration: source.configuration,
    parameters: source.parameters,
    ignored: source.ignored,
    async readF32(name): Promise<Float32Array> {
      const values = await source.readF32(name);
      if (isRoundedToHalf(name)) roundToHalf(values);
      return values;
    },
    async *readChunks(name, maxBytes): AsyncGenerator<F32Chunk> {
      for await (const chunk of source.readChunks(name, maxBytes)) {
        if (isRoundedToHalf(name)) roundToHalf(chunk.values);
        yield chunk;
      }
    },
    close: () => source.close(),
  };
}
